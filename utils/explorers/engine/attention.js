// Attention: scores, weights and where a local window stands. As utils/models/attention.py.
(function (book) {
  "use strict";
  const engine = book.engine;
  const { affine, addProduct, dot, sigmoid, softmax, tanh } = engine;

  // Apply a layer to every row of (length, size).
  function projectRows(weight, memory, length, scale = 1) {
    const [size, width] = weight.shape;
    const projected = new Float32Array(length * size);
    for (let s = 0; s < length; s++) {
      const out = projected.subarray(s * size, (s + 1) * size);
      addProduct(out, weight, memory.subarray(s * width, (s + 1) * width), 0);
      if (scale !== 1) for (let i = 0; i < size; i++) out[i] *= scale;
    }
    return projected;
  }

  // Each gives keys(encoded), once a sentence, and score(query, encoded), one number a position.
  const dotScore = (query, encoded) => {
    const size = query.length;
    return Float32Array.from({ length: encoded.length }, (_, s) =>
      dot(encoded.keys, s * size, query, 0, size),
    );
  };

  const SCORES = {
    dot: () => ({ keys: (encoded) => encoded.memory, score: dotScore }),
    general(tensor, prefix) {
      const weight = tensor(`${prefix}key_projection.weight`);
      const scale = weight.shape[0] ** -0.5;
      return {
        keys: (encoded) => projectRows(weight, encoded.memory, encoded.length, scale),
        score: dotScore,
      };
    },
    additive(tensor, prefix) {
      const queryWeight = tensor(`${prefix}query_projection.weight`);
      const keyWeight = tensor(`${prefix}key_projection.weight`);
      const vector = tensor(`${prefix}score_vector.weight`).values;
      const size = vector.length;
      return {
        keys: (encoded) => projectRows(keyWeight, encoded.memory, encoded.length),
        score(query, encoded) {
          const queries = affine(queryWeight, null, query);
          const scores = new Float32Array(encoded.length);
          for (let s = 0; s < encoded.length; s++) {
            let sum = 0;
            for (let i = 0; i < size; i++)
              sum += vector[i] * Math.tanh(queries[i] + encoded.keys[s * size + i]);
            scores[s] = sum;
          }
          return scores;
        },
      };
    },
    location(tensor, prefix) {
      const weight = tensor(`${prefix}position_scores.weight`);
      return {
        longest: weight.shape[0],
        keys: () => null,
        score: (query, encoded) => affine(weight, null, query).subarray(0, encoded.length),
      };
    },
  };
  SCORES.concat = SCORES.additive;

  function localAttention(tensor, prefix, { attention, local_score: score, window }) {
    const content = SCORES[score](tensor, `${prefix}content.`);
    const predictive = attention === "local-p";
    const projection = predictive && tensor(`${prefix}centre_projection.weight`);
    const vector = predictive && tensor(`${prefix}centre_vector.weight`);
    function findCentre(query, step, length) {
      if (!predictive) return Math.min(step, length - 1);
      const hidden = tanh(affine(projection, null, query));
      return Math.min(length * sigmoid(affine(vector, null, hidden)[0]), length - 1);
    }
    return {
      ...content,
      window,
      weigh(query, scores, step) {
        // single precision here: it decides which positions lie inside the window
        const centre = Math.fround(findCentre(query, step, scores.length));
        const begin = Math.max(0, Math.ceil(centre - window));
        const end = Math.min(scores.length, Math.floor(centre + window) + 1);
        const weights = softmax(scores, begin, end);
        if (predictive)
          for (let s = begin; s < end; s++)
            weights[s] *= Math.exp(-((s - centre) ** 2) / (2 * (window / 2) ** 2));
        return { weights, centre };
      },
    };
  }

  // The attention that a config names: {keys, score, weigh(query, scores, step)}.
  function buildAttention(tensor, prefix, config) {
    if (config.attention.startsWith("local-")) return localAttention(tensor, prefix, config);
    if (!SCORES[config.attention])
      throw new Error(`this page knows no attention called "${config.attention}"`);
    const plain = SCORES[config.attention](tensor, prefix);
    return { ...plain, weigh: (query, scores) => ({ weights: softmax(scores), centre: null }) };
  }

  // One look back: {scores, weights, context, centre}. `override` takes the weights' place.
  function look(attention, query, encoded, step, override) {
    const scores = attention.score(query, encoded);
    const { weights: computed, centre } = attention.weigh(query, scores, step);
    const weights = override ? checkOverride(override, encoded.length) : computed;
    const context = engine.weightedSum(weights, encoded.memory, encoded.size);
    return { scores, weights, context, centre };
  }

  function checkOverride(override, length) {
    if (override.length !== length)
      throw new Error(`${override.length} weights were given for ${length} positions`);
    if (!Array.prototype.every.call(override, Number.isFinite))
      throw new Error("a weight that was given is not a number");
    return Float32Array.from(override);
  }

  Object.assign(engine, { buildAttention, look, projectRows });
})(globalThis.attentionBook);
