// Scenes as pixels and as captions. As utils/datasets/scene_rendering.py and scenes.py.
//
// A scene has the fields of the Python class: {objects: [{kind, colour, size, centre_x, centre_y,
// half_size, brightness}], background, first_colour, second_colour, noise_amplitude, noise_seed,
// image_size}; what is left out has the same default. A handwritten digit brings its `levels`:
// 64 numbers from 0 to 1.
(function (book) {
  "use strict";
  const PALETTE = {
    red: [0.9, 0.12, 0.14],
    green: [0.15, 0.7, 0.22],
    blue: [0.16, 0.3, 0.92],
    yellow: [0.96, 0.86, 0.12],
    purple: [0.62, 0.16, 0.76],
    cyan: [0.1, 0.82, 0.88],
  };
  const { abs, hypot, max, min, sqrt, floor, imul, fround } = Math;
  const DISTANCE = {
    circle: (u, v, r) => hypot(u, v) - r,
    square: (u, v, r) => max(abs(u), abs(v)) - r,
    triangle: (u, v, r) => max(v - r, (2 * abs(u) - v - r) / sqrt(5)),
    cross: (u, v, r) =>
      min(max(abs(u) - r / 3, abs(v) - r), max(abs(u) - r, abs(v) - r / 3)),
    ring: (u, v, r) => abs(hypot(u, v) - 0.72 * r) - 0.28 * r,
    diamond: (u, v, r) => (abs(u) + abs(v) - r) / sqrt(2),
  };
  const SHAPES = Object.keys(DISTANCE);
  const DIGITS = "zero one two three four five six seven eight nine".split(" ");
  const KINDS = [...SHAPES, ...DIGITS];
  const SIZES = { small: [5.5, 6.5], large: [8.5, 9.5] };
  const BACKGROUNDS = ["plain", "gradient", "checks"];
  const clamp = (value, low, high) => min(max(value, low), high);

  function hash32(value) {
    let mixed = value >>> 0;
    mixed = imul(mixed ^ (mixed >>> 16), 0x7feb352d);
    mixed = imul(mixed ^ (mixed >>> 15), 0x846ca68b);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }

  function digitCoverage(levels, u, v, r) {
    if (abs(u) > r || abs(v) > r) return 0;
    const level = (i, j) => (i < 0 || j < 0 || i > 7 || j > 7 ? 0 : levels[8 * i + j]);
    const column = clamp(((u + r) / (2 * r)) * 8 - 0.5, -1, 8);
    const row = clamp(((v + r) / (2 * r)) * 8 - 0.5, -1, 8);
    const j = min(floor(column), 7);
    const i = min(floor(row), 7);
    const right = column - j;
    const down = row - i;
    const upper = level(i, j) * (1 - right) + level(i, j + 1) * right;
    const lower = level(i + 1, j) * (1 - right) + level(i + 1, j + 1) * right;
    return upper * (1 - down) + lower * down;
  }

  function coverageOf(item) {
    const { kind, half_size: r, levels } = item;
    if (DISTANCE[kind]) return (u, v) => clamp(0.5 - DISTANCE[kind](u, v, r), 0, 1);
    if (DIGITS.includes(kind) && levels && levels.length === 64)
      return (u, v) => digitCoverage(levels, u, v, r);
    throw new Error(
      DIGITS.includes(kind)
        ? `the digit "${kind}" needs its handwriting: levels, 64 numbers`
        : `unknown kind "${kind}"; choose one of ${KINDS.join(", ")}`,
    );
  }

  function blendOf(background, side) {
    if (background === "plain") return () => 0;
    if (background === "gradient") return (i, j) => (j + 0.5) / side;
    if (background === "checks") return (i, j) => (floor(i / 8) + floor(j / 8)) % 2;
    throw new Error(`unknown background "${background}"; choose one of ${BACKGROUNDS.join(", ")}`);
  }

  // The picture as 3 · side · side numbers k / 255: all red values row by row, then green, blue.
  book.renderScene = function (scene) {
    const {
      objects, background = "plain", first_colour: first = [0.5, 0.5, 0.5],
      second_colour: second = [0.5, 0.5, 0.5], noise_amplitude: amplitude = 0,
      noise_seed: seed = 0, image_size: side = 64,
    } = scene;
    const area = side * side;
    const values = new Float32Array(3 * area);
    const blend = blendOf(background, side);
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < side; i++)
        for (let j = 0; j < side; j++)
          values[c * area + i * side + j] = first[c] + (second[c] - first[c]) * blend(i, j);
    for (const item of objects) {
      const { centre_x: x, centre_y: y, half_size: r, brightness = 1, colour } = item;
      if (!PALETTE[colour])
        throw new Error(`unknown colour "${colour}"; choose one of ${Object.keys(PALETTE).join(", ")}`);
      const paint = PALETTE[colour].map((value) => value * brightness);
      const coverage = coverageOf(item);
      const reach = r + 1; // the soft edge lies within it
      for (let i = max(0, floor(y - reach)); i < min(side, y + reach); i++)
        for (let j = max(0, floor(x - reach)); j < min(side, x + reach); j++) {
          const covered = coverage(j + 0.5 - x, i + 0.5 - y);
          for (let c = 0; c < 3; c++) {
            const place = c * area + i * side + j;
            values[place] += covered * (paint[c] - values[place]);
          }
        }
    }
    const offset = imul(seed, 2654435769);
    for (let place = 0; place < area; place++)
      for (let c = 0; c < 3; c++) {
        const at = c * area + place;
        if (amplitude) {
          const noise = fround(hash32(offset + place * 3 + c)) * (2 / 2 ** 32) - 1;
          values[at] += amplitude * noise;
        }
        values[at] = floor(fround(255 * clamp(values[at], 0, 1)) + 0.5) / 255;
      }
    return values;
  };

  // The same picture for a canvas: new ImageData(pixels, side, side).
  book.scenePixels = function (values) {
    const area = values.length / 3;
    const pixels = new Uint8ClampedArray(4 * area).fill(255);
    for (let place = 0; place < area; place++)
      for (let c = 0; c < 3; c++) pixels[4 * place + c] = 255 * values[c * area + place];
    return pixels;
  };

  function relation(one, other) {
    const dx = other.centre_x - one.centre_x;
    const dy = other.centre_y - one.centre_y;
    if (abs(dx) >= abs(dy)) return dx > 0 ? ["left", "of"] : ["right", "of"];
    return dy > 0 ? ["above"] : ["below"];
  }

  // The right caption: {words, wordObjects: index into `ordered` or null, ordered: the objects}.
  book.describeScene = function (scene) {
    const key = ({ kind, colour }) =>
      100 * KINDS.indexOf(kind) + Object.keys(PALETTE).indexOf(colour);
    const ordered = [...scene.objects].sort((one, other) => key(one) - key(other));
    const words = [];
    const wordObjects = [];
    ordered.forEach((item, index) => {
      const between = index ? relation(ordered[index - 1], item) : [];
      words.push(...between, "a", item.size, item.colour, item.kind);
      wordObjects.push(...between.map(() => null), null, index, index, index);
    });
    return { words, wordObjects, ordered };
  };

  book.sceneParts = { palette: PALETTE, shapes: SHAPES, sizes: SIZES, backgrounds: BACKGROUNDS };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
