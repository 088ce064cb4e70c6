// Pictures into words. As utils/models/captioning.py and image_encoders.py.
(function (book) {
  "use strict";
  const engine = book.engine;
  const { affine, row, tanh, sigmoid, linear, buildAttention, look, readLayer, ADVANCE } = engine;
  const EPSILON = 1e-5; // of batch normalisation, as in PyTorch

  // A convolution without bias and the batch normalisation after it, one linear map.
  function normalised(tensor, convolution, norm, stride) {
    const { shape, values } = tensor(`${convolution}.weight`);
    const [channels, depth, kernel] = shape;
    const [gain, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(
      (part) => tensor(`${norm}.${part}`).values,
    );
    const scale = gain.map((value, c) => value / Math.sqrt(variance[c] + EPSILON));
    const padding = (kernel - stride) / 2;
    return ({ size, values: input }) => {
      const side = Math.floor((size + 2 * padding - kernel) / stride) + 1;
      const output = new Float32Array(channels * side * side);
      const patch = new Float32Array(depth * kernel * kernel);
      const sums = new Float32Array(channels);
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          let n = 0;
          for (let c = 0; c < depth; c++)
            for (let i = y * stride - padding; i < y * stride - padding + kernel; i++)
              for (let j = x * stride - padding; j < x * stride - padding + kernel; j++)
                patch[n++] =
                  i < 0 || j < 0 || i >= size || j >= size ? 0 : input[(c * size + i) * size + j];
          sums.fill(0);
          engine.addProduct(sums, { shape: [channels, patch.length], values }, patch, 0);
          for (let c = 0; c < channels; c++)
            output[(c * side + y) * side + x] = (sums[c] - mean[c]) * scale[c] + shift[c];
        }
      }
      return { channels, size: side, values: output };
    };
  }

  function positive(grid) {
    for (let i = 0; i < grid.values.length; i++) grid.values[i] = Math.max(0, grid.values[i]);
    return grid;
  }

  function imageEncoder(tensor, config) {
    const isResidual = config.encoder === "residual";
    const prefix = isResidual ? "encoder.stem.layers" : "encoder.layers";
    const count = isResidual ? 3 : 3 + config.context_layers;
    const layers = Array.from({ length: count }, (_, number) =>
      normalised(tensor, `${prefix}.${3 * number}`, `${prefix}.${3 * number + 1}`, number < 3 ? 2 : 1),
    );
    const blocks = Array.from({ length: isResidual ? config.context_layers : 0 }, (_, number) =>
      [0, 3].map((place) =>
        normalised(
          tensor,
          `encoder.blocks.${number}.change.${place}`,
          `encoder.blocks.${number}.change.${place + 1}`,
          1,
        ),
      ),
    );
    return (image) => {
      let grid = { size: config.image_size, values: image.map((value) => value * 2 - 1) };
      for (const layer of layers) grid = positive(layer(grid));
      for (const [first, second] of blocks) {
        const change = second(positive(first(grid)));
        for (let i = 0; i < change.values.length; i++) change.values[i] += grid.values[i];
        grid = positive(change);
      }
      return grid;
    };
  }

  // encode(image), start(encoded), step(id, state, encoded, override).
  function buildCaptioner(tensor, config) {
    const encodeImage = imageEncoder(tensor, config);
    const attends = config.attention !== "mean";
    const attention =
      attends && buildAttention(tensor, "attention.", { attention: "additive" });
    const embedding = tensor("embedding.weight");
    const initialHidden = linear(tensor, "initial_hidden");
    const initialCell = linear(tensor, "initial_cell");
    const gateLayer = config.gate && linear(tensor, "gate");
    const recurrent = readLayer(tensor, "recurrent", "");
    const fromHidden = linear(tensor, "output_hidden");
    const contextWeight = tensor("output_context.weight");
    const output = linear(tensor, "output");

    function encode(image) {
      const expected = 3 * config.image_size ** 2;
      if (!image || image.length !== expected)
        throw new Error(
          `a picture of ${expected} numbers (3 \u00b7 ${config.image_size} \u00b7 ${config.image_size}) is ` +
            `expected, got ${image ? image.length : "none"}`,
        );
      const { channels, size: side, values } = encodeImage(Float32Array.from(image));
      const length = side * side;
      const size = channels + (config.places ? 2 : 0);
      const memory = new Float32Array(length * size);
      const mean = new Float64Array(size);
      for (let place = 0; place < length; place++) {
        const vector = memory.subarray(place * size, (place + 1) * size);
        for (let c = 0; c < channels; c++)
          vector[c] = values[c * length + place];
        if (config.places) {
          vector[channels] = (2 * (place % side) + 1) / side - 1;
          vector[channels + 1] = (2 * Math.floor(place / side) + 1) / side - 1;
        }
        for (let i = 0; i < size; i++) mean[i] += vector[i] / length;
      }
      const encoded = { memory, size, length, rows: side, columns: side };
      encoded.summary = Float32Array.from(mean);
      encoded.keys = attends ? attention.keys(encoded) : null;
      return encoded;
    }

    function glimpse(hidden, encoded, override) {
      if (!attends)
        return { scores: null, weights: null, context: encoded.summary, centre: null };
      const looked = look(attention, hidden, encoded, 0, override);
      if (config.attention === "hard" && !override) {
        const place = looked.weights.indexOf(Math.max(...looked.weights));
        const begin = place * encoded.size;
        looked.context = encoded.memory.slice(begin, begin + encoded.size);
      }
      return looked;
    }

    return {
      encode,
      start: (encoded) => ({
        hidden: tanh(initialHidden(encoded.summary)),
        cell: tanh(initialCell(encoded.summary)),
        position: 0,
      }),
      step(id, state, encoded, override) {
        const looked = glimpse(state.hidden, encoded, override);
        const gate = config.gate ? sigmoid(gateLayer(state.hidden)[0]) : null;
        const context = gate === null ? looked.context : looked.context.map((x) => gate * x);
        const embedded = row(embedding, id);
        const gates = affine(recurrent.inputWeight, recurrent.inputBias, embedded, context);
        const next = ADVANCE.lstm(gates, recurrent, state.hidden, state.cell);
        const mixed = fromHidden(next.hidden);
        engine.addProduct(mixed, contextWeight, context, 0);
        for (let i = 0; i < mixed.length; i++) mixed[i] += embedded[i];
        return {
          ...looked,
          logits: output(mixed),
          state: { ...next, position: state.position + 1 },
          context,
          gate,
        };
      },
    };
  }

  Object.assign(engine, { buildCaptioner });
})(globalThis.attentionBook);
