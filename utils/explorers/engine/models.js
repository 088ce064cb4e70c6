// attentionBook.load(exported) → a model: encode, start, step, translate, caption.
//
// Positions, weights and scores are in the order in which the reader wrote the sentence, also for
// a model that reads it reversed. Errors have messages that can be shown to the reader.
(function (book) {
  "use strict";
  const engine = book.engine;
  const LONGEST_SOURCE = 128; // positions, <eos> included; beyond it a page would seem to hang

  const reorder = (values, order) =>
    values && order ? values.map((_, place) => values[order[place]]) : values;

  function checkIds(ids, vocabulary, longest) {
    const list = Array.from(ids);
    if (list.length === 0) throw new Error("there is no word to read: write a sentence first");
    if (list.length > longest)
      throw new Error(
        `the sentence has ${list.length - 1} words or pieces, this model reads at most ` +
          `${longest - 1}: shorten it`,
      );
    for (const id of list)
      if (!Number.isInteger(id) || id < 0 || id >= vocabulary.tokens.length)
        throw new Error(`id ${id} is outside the vocabulary of ${vocabulary.tokens.length}`);
    return list;
  }

  function checkToken(token, vocabulary) {
    checkIds([token], vocabulary, 1);
    return token;
  }

  function translator(tensor, exported) {
    const config = exported.config;
    const encoder = engine.recurrentEncoder(tensor, config);
    const decoder = engine.buildDecoder(tensor, config);
    const sourceVocabulary = engine.readVocabulary(exported.vocabularies.source);
    const longestSource = Math.min(decoder.longest ?? Infinity, LONGEST_SOURCE);
    return {
      decoder,
      sourceVocabulary,
      longestSource,
      window: decoder.window ?? null,
      tokenize: (text) => engine.tokenize(text, sourceVocabulary),
      encode(ids) {
        const list = checkIds(ids, sourceVocabulary, longestSource);
        const last = list.length - 1; // <eos> stays last
        const order = config.reverse_source
          ? list.map((_, place) => (place < last ? last - 1 - place : last))
          : null;
        const encoded = { ...encoder(reorder(list, order)), ids: list, order };
        return decoder.prepare ? decoder.prepare(encoded) : encoded;
      },
    };
  }

  function captioner(tensor, exported) {
    const decoder = engine.buildCaptioner(tensor, exported.config);
    return { decoder, imageSize: exported.config.image_size, encode: decoder.encode };
  }

  const KINDS = { translation: translator, captioning: captioner };

  book.load = function (exported) {
    const tensors = engine.readTensors(exported);
    const { name, kind, config } = exported;
    if (!KINDS[kind]) throw new Error(`The model "${name}" did not load: unknown kind "${kind}".`);
    const targetVocabulary = engine.readVocabulary(exported.vocabularies.target);
    const { decoder, ...own } = KINDS[kind](engine.finder(tensors, name), exported);
    const model = {
      name, kind, config, card: exported.card ?? null, targetVocabulary, ...own,
      detokenize: (ids) => engine.detokenize(ids, targetVocabulary),
      start: (encoded) => decoder.start(encoded),
      // One step after `token`, the word just written. `weights` takes the attention's place.
      step(token, state, encoded, { weights: override } = {}) {
        const { order = null } = encoded;
        const given = override ? reorder(Array.from(override), order) : null;
        const next = decoder.step(checkToken(token, targetVocabulary), state, encoded, given);
        if (given && !next.weights)
          throw new Error("this model has no attention whose weights could be changed");
        const isMoved = order && next.centre !== null;
        return {
          ...next,
          probabilities: engine.softmax(next.logits),
          scores: reorder(next.scores, order),
          weights: reorder(next.weights, order),
          centre: isMoved ? Math.max(0, encoded.length - 2 - next.centre) : next.centre,
          gate: next.gate ?? null,
        };
      },
    };
    const search = (encoded, options) => engine.search(model, encoded, options);
    if (kind === "translation")
      model.translate = (ids, options) => search(model.encode(ids), options);
    else
      model.caption = (image, options) => {
        const encoded = model.encode(image);
        const { rows, columns } = encoded;
        return { ...search(encoded, options), grid: { rows, columns } };
      };
    return model;
  };
})(globalThis.attentionBook);
