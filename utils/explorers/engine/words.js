// Text into words or subwords and back. As utils/datasets/vocabulary.py and subwords.py.
(function (book) {
  "use strict";
  const engine = book.engine;
  const SPECIAL = 4; // <pad>, <unk>, <bos>, <eos>
  const UNKNOWN = 1;
  const SPACE = "\u2581";
  // All that separates words in subwords.py; languages disagree about what \s is.
  const GAP = new RegExp(
    "[\\x00-\\x20\\x7f-\\xa0\\u1680\\u2000-\\u200b\\u2028\\u2029\\u202f\\u205f\\u2581\\u3000\\ufeff]+",
    "g",
  );
  const HALF_CHARACTERS = /[\ud800-\udfff]/gu; // with u, only halves without their other half
  const normalise = (text) =>
    text.replace(HALF_CHARACTERS, "\ufffd").normalize("NFC").replace(GAP, " ").replace(/^ | $/g, "");

  function readVocabulary({ kind, tokens }) {
    if (kind !== "words" && kind !== "subwords")
      throw new Error(`this page knows no vocabulary of kind "${kind}"`);
    // A special symbol that stands in a text is an unknown word.
    const ids = new Map(tokens.slice(SPECIAL).map((token, index) => [token, index + SPECIAL]));
    return {
      kind, tokens, padId: 0, unkId: UNKNOWN, bosId: engine.BOS, eosId: engine.EOS,
      idOf: (token) => ids.get(token) ?? UNKNOWN,
    };
  }

  // Join the two neighbours whose joint piece was learnt first, until none make a piece. Pieces
  // stand in the vocabulary in the order in which they were learnt.
  function cutWord(word, vocabulary) {
    const found = Array.from(word);
    const rank = (index) => {
      const id = vocabulary.idOf(found[index] + found[index + 1]);
      return id === UNKNOWN ? Infinity : id;
    };
    const ranks = found.slice(1).map((_, index) => rank(index));
    for (;;) {
      let first = -1;
      for (let i = 0; i < ranks.length; i++)
        if (ranks[i] < (first < 0 ? Infinity : ranks[first])) first = i;
      if (first < 0) return found;
      found.splice(first, 2, found[first] + found[first + 1]);
      ranks.splice(first, 1);
      if (first < ranks.length) ranks[first] = rank(first);
      if (first > 0) ranks[first - 1] = rank(first - 1);
    }
  }

  function cutSubwords(text, vocabulary) {
    const normal = normalise(text);
    const pieces = [];
    let afterUnknown = false;
    for (const word of normal ? normal.split(" ") : []) {
      for (const piece of cutWord(SPACE + word, vocabulary)) {
        const isUnknown = vocabulary.idOf(piece) === UNKNOWN;
        if (isUnknown && afterUnknown) pieces[pieces.length - 1] += piece;
        else pieces.push(piece);
        afterUnknown = isUnknown;
      }
    }
    return pieces;
  }

  // Lower case, split at spaces, `'s` and a final `'` apart; end punctuation that the vocabulary
  // does not know is dropped.
  function cutWords(text, vocabulary) {
    const words = [];
    for (let word of normalise(text).toLowerCase().replace(/[\u2018\u2019]/g, "'").split(" ")) {
      if (vocabulary.idOf(word) === UNKNOWN) word = word.replace(/[.,;:!?]+$/, "");
      const parts = vocabulary.idOf(word) === UNKNOWN && /^(.+)('s?)$/su.exec(word);
      words.push(...(parts ? parts.slice(1) : [word]));
    }
    return words.filter(Boolean);
  }

  // How many letters must be changed, added or left out to turn one word into the other.
  function editDistance(one, other) {
    let above = Array.from({ length: other.length + 1 }, (_, j) => j);
    for (let i = 1; i <= one.length; i++) {
      const current = [i];
      for (let j = 1; j <= other.length; j++) {
        const changed = above[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1);
        current.push(Math.min(changed, above[j] + 1, current[j - 1] + 1));
      }
      above = current;
    }
    return above[other.length];
  }

  // Up to three known words that look most like an unknown one.
  function nearest(word, vocabulary) {
    if (vocabulary.kind !== "words" || word.length > 40) return [];
    return vocabulary.tokens
      .slice(SPECIAL)
      .map((token) => [editDistance(word, token), token])
      .filter(([distance, token]) => distance <= Math.max(2, token.length / 2))
      .sort(([one], [other]) => one - other)
      .slice(0, 3)
      .map(([, token]) => token);
  }

  // {words, tokens (words and <eos>), ids (as many), unknown: [{index, word, nearest}]}.
  function tokenize(text, vocabulary) {
    const cut = vocabulary.kind === "subwords" ? cutSubwords : cutWords;
    const words = cut(String(text), vocabulary);
    const ids = words.map(vocabulary.idOf);
    const unknown = words
      .map((word, index) => ({ index, word }))
      .filter(({ index }) => ids[index] === UNKNOWN)
      .map((each) => ({ ...each, nearest: nearest(each.word, vocabulary) }));
    const end = vocabulary.tokens[vocabulary.eosId];
    return { words, tokens: [...words, end], ids: [...ids, vocabulary.eosId], unknown };
  }

  function detokenize(ids, vocabulary) {
    const words = [];
    for (const id of ids) {
      if (!(id >= 0 && id < vocabulary.tokens.length))
        throw new Error(`id ${id} is outside the vocabulary of ${vocabulary.tokens.length}`);
      if (id === vocabulary.eosId) break;
      if (id !== vocabulary.padId && id !== vocabulary.bosId) words.push(vocabulary.tokens[id]);
    }
    if (vocabulary.kind === "words") return words.join(" ");
    return words.join("").replaceAll(SPACE, " ").replace(/^ +| +$/g, "");
  }

  Object.assign(engine, { readVocabulary, tokenize, detokenize, cutSubwords, editDistance });
})(globalThis.attentionBook);
