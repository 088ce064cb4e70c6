// Greedy and beam search, with the tie, length and ending rules of utils/decoding.py.
(function (book) {
  "use strict";
  const engine = book.engine;
  const BOS = 2;
  const EOS = 3;

  // The ids of the `count` largest numbers, largest first; of equals the smaller id.
  function largest(values, count) {
    const chosen = [];
    for (let id = 0; id < values.length; id++) {
      if (chosen.length === count && !(values[id] > values[chosen[count - 1]])) continue;
      let place = chosen.length;
      while (place > 0 && values[id] > values[chosen[place - 1]]) place--;
      chosen.splice(place, 0, id);
      if (chosen.length > count) chosen.pop();
    }
    return chosen;
  }

  const plain = (vector) => vector && Array.from(vector);

  // A step as it is shown, in plain arrays and with the likeliest next words.
  function describe(model, token, step) {
    const { tokens } = model.targetVocabulary;
    return {
      token,
      word: tokens[token],
      probability: step.probabilities[token],
      scores: plain(step.scores),
      weights: plain(step.weights),
      context: plain(step.context),
      centre: step.centre,
      gate: step.gate,
      probabilities: largest(step.probabilities, 5).map((id) => ({
        token: id,
        word: tokens[id],
        probability: step.probabilities[id],
      })),
    };
  }

  function result(model, path, logProbability, score, finished) {
    const steps = path.map(({ token, step }) => describe(model, token, step));
    const tokens = path.map(({ token }) => token);
    if (finished) tokens.pop();
    return {
      tokens,
      words: tokens.map((token) => model.targetVocabulary.tokens[token]),
      text: model.detokenize(tokens),
      steps,
      score,
      logProbability,
      finished,
    };
  }

  function limit(encoded, maximumLength) {
    if (maximumLength === undefined || maximumLength === null) return 2 * encoded.length + 10;
    if (!(maximumLength >= 1))
      throw new Error(`maximumLength must be at least 1 word, got ${maximumLength}`);
    return maximumLength;
  }

  function greedySearch(model, encoded, { maximumLength, overrides = {} } = {}) {
    const path = [];
    let state = model.start(encoded);
    let token = BOS;
    let total = 0;
    const longest = limit(encoded, maximumLength);
    do {
      const step = model.step(token, state, encoded, { weights: overrides[path.length] });
      state = step.state;
      const logs = engine.logSoftmax(step.logits);
      token = largest(logs, 1)[0];
      total += logs[token];
      path.push({ token, step });
    } while (token !== EOS && path.length < longest);
    return { ...result(model, path, total, total, token === EOS), tree: null };
  }

  // An ended hypothesis leaves the beam and narrows it. The tree holds each open node's best
  // continuations: `kept` ones stayed in the beam, `best` ones lead to the answer.
  function beamSearch(
    model, encoded, { beam, maximumLength, lengthPenalty = 1, overrides = {} },
  ) {
    if (!(Number.isInteger(beam) && beam >= 1))
      throw new Error(`beam must be a whole number from 1, got ${beam}`);
    if (!(lengthPenalty >= 0)) throw new Error(`lengthPenalty must be at least 0`);
    const root = {
      id: 0, parent: null, above: null, depth: 0, token: BOS, logProbability: 0, kept: true,
      finished: false, best: true, state: model.start(encoded), step: null,
    };
    const nodes = [root];
    const ended = [];
    const longest = limit(encoded, maximumLength);
    let width = beam;
    let open = [root];
    for (let depth = 1; open.length; depth++) {
      const candidates = [];
      for (const above of open) {
        const options = { weights: overrides[depth - 1] };
        const step = model.step(above.token, above.state, encoded, options);
        const logs = engine.logSoftmax(step.logits);
        for (const token of largest(logs, beam)) {
          candidates.push({
            id: 0, parent: above.id, above, depth, token,
            logProbability: above.logProbability + logs[token],
            kept: false, finished: token === EOS, best: false, state: step.state, step,
          });
        }
      }
      // sort keeps the order of equals: the earlier slot first, as in topk
      candidates.sort((one, other) => other.logProbability - one.logProbability);
      const survivors = candidates.slice(0, width);
      for (const node of candidates) node.id = nodes.push(node) - 1;
      for (const node of survivors) node.kept = true;
      const leaving = survivors.filter((node) => node.finished || depth >= longest);
      ended.push(...leaving);
      width -= survivors.filter((node) => node.finished).length;
      open = survivors.filter((node) => !leaving.includes(node));
    }
    const score = (node) => node.logProbability / node.depth ** lengthPenalty;
    const winner = ended.reduce((best, node) => (score(node) > score(best) ? node : best));
    const path = [];
    for (let node = winner; node.above; node = node.above) {
      node.best = true;
      path.unshift({ token: node.token, step: node.step });
    }
    const tree = nodes.map(({ id, parent, depth, token, logProbability, kept, finished, best }) => ({
      id, parent, depth, token, word: model.targetVocabulary.tokens[token], logProbability, kept,
      finished, best,
    }));
    const found = result(model, path, winner.logProbability, score(winner), winner.finished);
    return { ...found, tree };
  }

  // beam 1 is greedy search; only a wider beam has a tree.
  function search(model, encoded, options = {}) {
    const beam = options.beam ?? 1;
    return beam === 1
      ? greedySearch(model, encoded, options)
      : beamSearch(model, encoded, { ...options, beam });
  }

  Object.assign(engine, { largest, search, BOS, EOS });
})(globalThis.attentionBook);
