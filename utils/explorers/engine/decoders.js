// The decoders: start(encoded) → state, step(id, state, encoded, override) → one step.
// As utils/models/decoders.py and attention_decoders.py.
(function (book) {
  "use strict";
  const engine = book.engine;
  const { affine, row, tanh, stack, buildAttention, look } = engine;

  const linear = (tensor, name) => {
    const weight = tensor(`${name}.weight`);
    const bias = tensor(`${name}.bias`);
    return (...parts) => affine(weight, bias, ...parts);
  };

  // Cut one vector into the layers of the first state.
  function firstState(vector, { cell, num_layers: layers, hidden_size: size }) {
    const part = (begin) =>
      Array.from({ length: layers }, (_, i) =>
        vector.slice(begin + i * size, begin + (i + 1) * size),
      );
    return {
      hidden: part(0),
      cell: cell === "lstm" ? part(layers * size) : null,
      position: 0,
      attentional: null,
    };
  }

  const nothing = { scores: null, weights: null, centre: null };
  const top = (state) => state.hidden[state.hidden.length - 1];
  const summary = (encoded) => encoded.finalHidden[encoded.finalHidden.length - 1];

  function buildDecoder(tensor, config) {
    const embedding = tensor("decoder.embedding.weight");
    const readout = linear(tensor, "decoder.readout.hidden");
    const scoreWeight = config.tie_embeddings
      ? embedding // a word's score uses the weights that the word is read with
      : tensor("decoder.readout.vocabulary.weight");
    const scoreBias = tensor("decoder.readout.vocabulary.bias");
    const vocabulary = (hidden) => affine(scoreWeight, scoreBias, hidden);
    const word = (id) => row(embedding, id);
    const recurrence = (fused) => stack(tensor, "decoder.recurrence", config, fused);
    const bridge = () => linear(tensor, "decoder.bridge.projection");

    const isKnown = ["cho", "sutskever", "bahdanau", "luong"].includes(config.decoder);
    if (!isKnown) throw new Error(`this page knows no decoder called "${config.decoder}"`);
    if (config.decoder === "cho" || config.decoder === "sutskever") {
      const advance = recurrence(true);
      const copies = config.decoder === "sutskever" && config.summary_size === null;
      const compress = copies ? null : linear(tensor, "decoder.compress");
      const toState = copies ? null : bridge();
      const fixed = (encoded) => (encoded.fixed ??= tanh(compress(summary(encoded))));
      return {
        start(encoded) {
          if (!copies) return firstState(tanh(toState(fixed(encoded))), config);
          const { finalHidden: hidden, finalCell: cell } = encoded;
          return { hidden, cell, position: 0, attentional: null };
        },
        step(id, state, encoded) {
          const parts = [word(id)];
          if (config.decoder === "cho") parts.push(fixed(encoded));
          const next = advance(state, ...parts);
          const reads = config.decoder === "cho" ? [top(next), ...parts] : [top(next)];
          const context = copies ? summary(encoded) : fixed(encoded);
          return { logits: vocabulary(tanh(readout(...reads))), state: next, context, ...nothing };
        },
      };
    }

    const attention = buildAttention(tensor, "decoder.attention.", config);
    const toState = bridge();
    const shared = {
      longest: attention.longest,
      window: attention.window,
      prepare: (encoded) => ({ ...encoded, keys: attention.keys(encoded) }),
    };
    if (config.decoder === "bahdanau") {
      const advance = recurrence(false);
      return {
        ...shared,
        start: (encoded) => firstState(tanh(toState(summary(encoded))), config),
        step(id, state, encoded, override) {
          const looked = look(attention, top(state), encoded, state.position, override);
          const next = advance(state, word(id), looked.context);
          const logits = vocabulary(tanh(readout(top(next), looked.context, word(id))));
          return { logits, state: next, ...looked };
        },
      };
    }
    const feeding = config.input_feeding;
    const advance = recurrence(!feeding);
    const size = tensor("decoder.readout.hidden.weight").shape[0];
    return {
      ...shared,
      start(encoded) {
        const state = firstState(tanh(toState(summary(encoded))), config);
        return { ...state, attentional: feeding ? new Float32Array(size) : null };
      },
      step(id, state, encoded, override) {
        const next = advance(state, word(id), ...(feeding ? [state.attentional] : []));
        const looked = look(attention, top(next), encoded, state.position, override);
        const attentional = tanh(readout(looked.context, top(next)));
        if (feeding) next.attentional = attentional;
        return { logits: vocabulary(attentional), state: next, ...looked };
      },
    };
  }

  Object.assign(engine, { linear, buildDecoder });
})(globalThis.attentionBook);
