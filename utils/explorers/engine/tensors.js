// Exported weights, and the few products that all models are made of.
//
// A tensor is {shape, values: Float32Array}, its last axis contiguous, as in PyTorch. Sums run in
// double precision and are stored in single precision.
(function (book) {
  "use strict";
  const engine = (book.engine = book.engine || {});
  const FORMAT = "attention-book-page";
  const VERSION = 1;
  const AGAIN = "Reload the page; if that does not help, export the model again.";

  function decodeBase64(text) {
    let binary;
    try {
      binary = atob(text);
    } catch {
      throw new Error("its numbers are not valid base64");
    }
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  // CRC-32 as in zlib: a cut or damaged file must be noticed, not translated with.
  function crc32(bytes) {
    const table = new Int32Array(256);
    for (let n = 0; n < 256; n++) {
      let value = n;
      for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
      table[n] = value;
    }
    let sum = -1;
    for (let i = 0; i < bytes.length; i++) sum = (sum >>> 8) ^ table[(sum ^ bytes[i]) & 255];
    return (sum ^ -1) >>> 0;
  }

  function fromFloat16(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  function dequantise(entry, buffer) {
    const count = entry.shape.reduce((product, size) => product * size, 1);
    if (entry.type === "float32") return new Float32Array(buffer, entry.begin, count);
    const values = new Float32Array(count);
    if (entry.type === "float16") {
      const halves = new Uint16Array(buffer, entry.begin, count);
      for (let i = 0; i < count; i++) values[i] = fromFloat16(halves[i]);
    } else if (entry.type === "int8") {
      const rows = entry.shape[0];
      const width = count / rows;
      const codes = new Int8Array(buffer, entry.begin, count);
      const scales = new Float32Array(buffer, entry.scales, rows);
      for (let i = 0; i < count; i++) values[i] = codes[i] * scales[Math.floor(i / width)];
    } else {
      throw new Error(`it has a tensor of type "${entry.type}", which this page cannot read`);
    }
    return values;
  }

  // The tensors of an exported model, all checks made. Throws an Error that can be shown.
  function readTensors(exported) {
    if (!exported || typeof exported !== "object")
      throw new Error(`The model did not load: its file is missing or was cut short. ${AGAIN}`);
    const called = `The model "${exported.name}" did not load: `;
    if (exported.format !== FORMAT)
      throw new Error(`${called}its file is not in the format "${FORMAT}". ${AGAIN}`);
    if (exported.version !== VERSION)
      throw new Error(
        `${called}its file has version ${exported.version}, this page reads version ${VERSION}. ` +
          AGAIN,
      );
    try {
      const bytes = decodeBase64(exported.data);
      if (bytes.length !== exported.bytes)
        throw new Error(`it was cut short: ${bytes.length} bytes instead of ${exported.bytes}`);
      if (crc32(bytes) !== exported.checksum) throw new Error("its checksum is wrong");
      const tensors = {};
      for (const [name, entry] of Object.entries(exported.tensors)) {
        if (entry.type === "int64") continue; // counters of batch normalisation: not needed here
        tensors[name] = { shape: entry.shape, values: dequantise(entry, bytes.buffer) };
      }
      return tensors;
    } catch (error) {
      throw new Error(`${called}${error.message}. ${AGAIN}`);
    }
  }

  // Look a tensor up by its PyTorch name, or say that it is missing.
  function finder(tensors, name) {
    return (tensor) => {
      if (!tensors[tensor])
        throw new Error(`The model "${name}" did not load: it lacks the tensor "${tensor}". ${AGAIN}`);
      return tensors[tensor];
    };
  }

  // out += matrix[:, begin : begin + vector.length] · vector
  function addProduct(out, matrix, vector, begin) {
    const values = matrix.values;
    const columns = matrix.shape[1];
    const length = vector.length;
    const even = length - (length % 4);
    for (let row = 0; row < out.length; row++) {
      const start = row * columns + begin;
      let a = 0, b = 0, c = 0, d = 0;
      for (let i = 0; i < even; i += 4) {
        a += values[start + i] * vector[i];
        b += values[start + i + 1] * vector[i + 1];
        c += values[start + i + 2] * vector[i + 2];
        d += values[start + i + 3] * vector[i + 3];
      }
      for (let i = even; i < length; i++) a += values[start + i] * vector[i];
      out[row] += a + b + (c + d);
    }
  }

  // weight · [parts] + bias, as torch.nn.Linear on the parts joined; bias may be null.
  function affine(weight, bias, ...parts) {
    const out = bias ? Float32Array.from(bias.values) : new Float32Array(weight.shape[0]);
    let begin = 0;
    for (const part of parts) {
      addProduct(out, weight, part, begin);
      begin += part.length;
    }
    if (begin !== weight.shape[1])
      throw new Error(`a layer reads ${weight.shape[1]} numbers and was given ${begin}`);
    return out;
  }

  function dot(left, leftBegin, right, rightBegin, length) {
    let sum = 0;
    for (let i = 0; i < length; i++) sum += left[leftBegin + i] * right[rightBegin + i];
    return sum;
  }

  const row = (matrix, index) =>
    matrix.values.subarray(index * matrix.shape[1], (index + 1) * matrix.shape[1]);

  const tanh = (vector) => {
    for (let i = 0; i < vector.length; i++) vector[i] = Math.tanh(vector[i]);
    return vector;
  };

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  // Softmax over the positions from begin to end (excluded); 0 elsewhere.
  function softmax(scores, begin = 0, end = scores.length) {
    const weights = new Float32Array(scores.length);
    let largest = -Infinity;
    for (let i = begin; i < end; i++) largest = Math.max(largest, scores[i]);
    const powers = new Float64Array(scores.length);
    let total = 0;
    for (let i = begin; i < end; i++) total += powers[i] = Math.exp(scores[i] - largest);
    for (let i = begin; i < end; i++) weights[i] = powers[i] / total;
    return weights;
  }

  function logSoftmax(logits) {
    let largest = -Infinity;
    for (const logit of logits) largest = Math.max(largest, logit);
    let total = 0;
    for (const logit of logits) total += Math.exp(logit - largest);
    if (!Number.isFinite(total))
      throw new Error("the model's scores are not numbers; were its weights damaged?");
    const shift = largest + Math.log(total);
    return Float64Array.from(logits, (logit) => logit - shift);
  }

  // Σ_s weights[s] · memory[s], memory being (length, size).
  function weightedSum(weights, memory, size) {
    const sum = new Float64Array(size);
    for (let s = 0; s < weights.length; s++) {
      if (weights[s] === 0) continue;
      for (let i = 0; i < size; i++) sum[i] += weights[s] * memory[s * size + i];
    }
    return Float32Array.from(sum);
  }

  Object.assign(engine, {
    FORMAT, VERSION, readTensors, finder, affine, addProduct, dot, row, tanh, sigmoid, softmax,
    logSoftmax, weightedSum,
  });
})((globalThis.attentionBook = globalThis.attentionBook || {}));
