// Recurrent cells and the encoder. Stacked rows as in PyTorch: GRU r, z, n; LSTM i, f, g, o.
(function (book) {
  "use strict";
  const engine = book.engine;
  const { affine, addProduct, row, tanh, sigmoid } = engine;

  // The part of a step that waits for the state. Returns {hidden, cell}; cell is null but for LSTM.
  const ADVANCE = {
    tanh(gates, layer, hidden) {
      addProduct(gates, layer.stateWeight, hidden, 0);
      for (let i = 0; i < gates.length; i++) gates[i] += layer.stateBias.values[i];
      return { hidden: tanh(gates), cell: null };
    },
    gru(gates, layer, hidden) {
      const size = hidden.length;
      const fromState = affine(layer.stateWeight, layer.stateBias, hidden);
      const next = new Float32Array(size);
      for (let i = 0; i < size; i++) {
        const reset = sigmoid(gates[i] + fromState[i]);
        const update = sigmoid(gates[size + i] + fromState[size + i]);
        const candidate = Math.tanh(gates[2 * size + i] + reset * fromState[2 * size + i]);
        next[i] = (1 - update) * candidate + update * hidden[i];
      }
      return { hidden: next, cell: null };
    },
    lstm(gates, layer, hidden, cell) {
      const size = hidden.length;
      const fromState = affine(layer.stateWeight, layer.stateBias, hidden);
      const nextHidden = new Float32Array(size);
      const nextCell = new Float32Array(size);
      for (let i = 0; i < size; i++) {
        const write = sigmoid(gates[i] + fromState[i]);
        const keep = sigmoid(gates[size + i] + fromState[size + i]);
        const fresh = Math.tanh(gates[2 * size + i] + fromState[2 * size + i]);
        const show = sigmoid(gates[3 * size + i] + fromState[3 * size + i]);
        nextCell[i] = keep * cell[i] + write * fresh;
        nextHidden[i] = show * Math.tanh(nextCell[i]);
      }
      return { hidden: nextHidden, cell: nextCell };
    },
  };

  // One layer's parameters, of torch.nn's fused layers (`suffix` "_l0", "_l0_reverse") or of one
  // cell (`suffix` "").
  const readLayer = (tensor, prefix, suffix) => ({
    inputWeight: tensor(`${prefix}.weight_ih${suffix}`),
    inputBias: tensor(`${prefix}.bias_ih${suffix}`),
    stateWeight: tensor(`${prefix}.weight_hh${suffix}`),
    stateBias: tensor(`${prefix}.bias_hh${suffix}`),
  });

  // A decoder's layers, one step at a time; the first reads [parts].
  function stack(tensor, prefix, { cell, num_layers: count }, fused) {
    const layers = Array.from({ length: count }, (_, number) =>
      fused
        ? readLayer(tensor, prefix, `_l${number}`)
        : readLayer(tensor, `${prefix}.cells.${number}`, ""),
    );
    return (state, ...parts) => {
      const hidden = [], cells = [];
      layers.forEach((layer, number) => {
        const inputs = number ? [hidden[number - 1]] : parts;
        const gates = affine(layer.inputWeight, layer.inputBias, ...inputs);
        const old = state.cell && state.cell[number];
        const next = ADVANCE[cell](gates, layer, state.hidden[number], old);
        hidden.push(next.hidden);
        cells.push(next.cell);
      });
      return { ...state, hidden, cell: state.cell && cells, position: state.position + 1 };
    };
  }

  // One direction of one layer over all inputs: its outputs, in the order of the inputs.
  function run(layer, kind, inputs, backwards) {
    const size = layer.stateWeight.shape[1];
    let state = { hidden: new Float32Array(size), cell: new Float32Array(size) };
    const outputs = new Array(inputs.length);
    for (let step = 0; step < inputs.length; step++) {
      const place = backwards ? inputs.length - 1 - step : step;
      const gates = affine(layer.inputWeight, layer.inputBias, inputs[place]);
      state = ADVANCE[kind](gates, layer, state.hidden, state.cell);
      outputs[place] = state.hidden;
    }
    return { outputs, hidden: state.hidden, cell: state.cell };
  }

  function join(vectors) {
    const joined = new Float32Array(vectors.reduce((sum, vector) => sum + vector.length, 0));
    let begin = 0;
    for (const vector of vectors) {
      joined.set(vector, begin);
      begin += vector.length;
    }
    return joined;
  }

  // ids → {memory (S, D) flat, size: D, length: S, finalHidden, finalCell: one vector a layer}.
  function recurrentEncoder(tensor, { cell, num_layers: count, bidirectional }) {
    const embedding = tensor("encoder.embedding.weight");
    const suffixes = bidirectional ? ["", "_reverse"] : [""];
    const layers = Array.from({ length: count }, (_, number) =>
      suffixes.map((suffix) => readLayer(tensor, "encoder.recurrence", `_l${number}${suffix}`)),
    );
    return (ids) => {
      let inputs = Array.from(ids, (id) => row(embedding, id));
      const finalHidden = [], finalCell = [];
      for (const directions of layers) {
        const runs = directions.map((layer, number) => run(layer, cell, inputs, number === 1));
        inputs = inputs.map((_, place) => join(runs.map((each) => each.outputs[place])));
        finalHidden.push(join(runs.map((each) => each.hidden)));
        if (cell === "lstm") finalCell.push(join(runs.map((each) => each.cell)));
      }
      return {
        memory: join(inputs),
        size: inputs[0].length,
        length: inputs.length,
        finalHidden,
        finalCell: cell === "lstm" ? finalCell : null,
      };
    };
  }

  Object.assign(engine, { ADVANCE, readLayer, stack, join, recurrentEncoder });
})(globalThis.attentionBook);
