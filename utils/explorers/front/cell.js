// One step of the plain recurrent cell: a⟨t⟩ = tanh(W_ax x + W_aa a + b_a), ŷ = softmax(W_ay a + b_y).
(function (book) {
  "use strict";
  const { make, draw, show, slider, button } = book.ui;
  const { softmax, times } = book.numbers;

  const GROUPS = [
    ["x", "The word x⟨t⟩"],
    ["a", "The old state a⟨t−1⟩"],
    ["W_ax", "W_ax, word → state"],
    ["W_aa", "W_aa, state → state"],
    ["b_a", "b_a"],
    ["W_ay", "W_ay, state → answer"],
    ["b_y", "b_y"],
  ];

  function takeStep({ x, a, W_ax, W_aa, b_a, W_ay, b_y }) {
    const fromWord = times(W_ax, x);
    const fromState = times(W_aa, a);
    const total = b_a.map((bias, unit) => fromWord[unit] + fromState[unit] + bias);
    const state = total.map(Math.tanh);
    const logits = times(W_ay, state).map((value, unit) => value + b_y[unit]);
    return { fromWord, fromState, total, state, logits, answer: softmax(logits).weights };
  }

  /** One slider for each number; a matrix's are in its rows and columns. */
  function makeGroup(values, key, title, update) {
    const matrix = Array.isArray(values[key][0]);
    const sliders = [];
    const add = (label, holder, index) => {
      const made = slider(label, { min: -3, max: 3, step: 0.05, value: holder[index] }, (number) => {
        holder[index] = number;
        update();
      });
      sliders.push(() => made.set(holder[index]));
      return made.element;
    };
    const elements = matrix
      ? values[key].flatMap((row, i) => row.map((_, j) => add(`${key} [${i + 1}, ${j + 1}]`, row, j)))
      : values[key].map((_, i) => add(`${key} [${i + 1}]`, values[key], i));
    const element = make("fieldset", { class: "ae-group" }, make("legend", { text: title }), elements);
    return { element, refresh: () => sliders.forEach((refresh) => refresh()) };
  }

  function makeTable(name, heads, count) {
    const rows = Array.from({ length: count }, () => heads.slice(1).map(() => make("td", { class: "ae-number" })));
    const element = make("table", { class: "ae-scores", "aria-label": name },
      make("caption", { text: name }),
      make("thead", {}, make("tr", {}, heads.map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, rows.map((cells, unit) => make("tr", {}, make("th", { scope: "row", text: unit + 1 }), cells))));
    const fill = (columns) => columns.forEach((column, place) =>
      column.forEach((value, unit) => { rows[unit][place].textContent = show(value, 3); }));
    return { element, fill, rows };
  }

  const vector = (values) => `(${values.map((value) => show(value)).join(", ")})`;

  // The picture: where the boxes' middles stand, and what the lines are; the same in toys.py.
  const BOXES = [
    ["x", "x⟨t⟩", 40, 30],
    ["a", "a⟨t−1⟩", 40, 108],
    ["state", "a⟨t⟩", 170, 69],
    ["answer", "ŷ⟨t⟩", 300, 69],
  ];
  const LINES = [["W_ax", "x", "state"], ["W_aa", "a", "state"], ["W_ay", "state", "answer"]];
  const [APART, WIDE, HIGH] = [28, 56, 22];

  const makePicture = () =>
    draw("svg", {
      class: "ae-cell-picture", viewBox: "0 0 340 152", width: 340, height: 152, fill: "none", stroke: "#0a5fb4", role: "img",
    });

  /** Draw the step anew: its numbers in boxes, its weights as lines. */
  function drawPicture(picture, vectors, matrices) {
    const middle = (name, unit) => {
      const [, , x, y] = BOXES.find(([key]) => key === name);
      return [x, y + APART * unit];
    };
    const lineFor = (from, to, weight) =>
      draw("path", {
        d: `M${from[0] + WIDE / 2} ${from[1]}L${to[0] - WIDE / 2} ${to[1]}`,
        "stroke-width": (2 * Math.abs(weight)).toFixed(2), "stroke-dasharray": weight < 0 && "5 3",
      });
    const lines = LINES.flatMap(([key, source, target]) => matrices[key].flatMap((row, i) =>
      row.map((weight, j) => lineFor(middle(source, j), middle(target, i), weight))));
    const boxes = BOXES.flatMap(([name, , x]) => vectors[name].map((_, unit) =>
      draw("rect", { x: x - WIDE / 2, y: middle(name, unit)[1] - HIGH / 2, width: WIDE, height: HIGH })));
    const texts = BOXES.flatMap(([name, title, x, y]) => [
      draw("text", { x, y: y - 16, text: title }),
      ...vectors[name].map((value, unit) => draw("text", { x, y: y + APART * unit + 4, text: show(value) })),
    ]);
    const text = { fill: "currentColor", stroke: "none", "text-anchor": "middle", "font-size": 12 };
    picture.replaceChildren(draw("g", {}, lines), draw("g", {}, boxes), draw("g", text, texts));
    const [x, a, state, answer] = BOXES.map(([name]) => vector(vectors[name]));
    picture.setAttribute("aria-label",
      `One step of the cell: the word x⟨t⟩ = ${x} and the old state a⟨t−1⟩ = ${a} ` +
      `give the new state a⟨t⟩ = ${state} and the answer ŷ⟨t⟩ = ${answer}`);
  }

  function mountCell(host, setup) {
    const values = JSON.parse(JSON.stringify(setup.options));
    const { words } = values;
    const groups = GROUPS.map(([key, title]) => makeGroup(values, key, title, () => update()));
    const state = makeTable("The new state a⟨t⟩", ["unit", "W_ax x", "W_aa a", "b_a", "sum", "a⟨t⟩ = tanh"], values.a.length);
    const answer = makeTable("The answer ŷ⟨t⟩", ["answer", "W_ay a + b_y", "ŷ⟨t⟩ = softmax"], values.b_y.length);
    const picture = makePicture();
    const history = make("ol", { class: "ae-history", "aria-label": "Steps taken" });
    let taken = 0;

    function update() {
      const found = takeStep(values);
      drawPicture(picture, { ...values, ...found }, values);
      state.fill([found.fromWord, found.fromState, values.b_a, found.total, found.state]);
      answer.fill([found.logits, found.answer]);
      answer.rows.forEach((cells, unit) => {
        cells[1].classList.add("ae-bar");
        cells[1].style.setProperty("--w", found.answer[unit].toFixed(4));
      });
      return found;
    }

    /** The new state becomes the old one, and the next word comes in. */
    function step() {
      const found = takeStep(values);
      history.append(make("li", { text: `x = ${vector(values.x)}: a = ${vector(found.state)}, ŷ = ${vector(found.answer)}` }));
      taken += 1;
      values.a.splice(0, values.a.length, ...found.state);
      values.x.splice(0, values.x.length, ...words[taken % words.length]);
      groups.forEach((group) => group.refresh());
      update();
    }

    host.replaceChildren(
      make("div", { class: "ae-controls ae-groups" }, groups.map(({ element }) => element)),
      picture,
      make("p", { class: "ae-note", text: "Lines are weights: the thicker, the larger; dashed where negative." }),
      make("div", { class: "ae-cell-tables", role: "region", "aria-label": "The step in numbers" }, state.element, answer.element),
      make("div", { class: "ae-buttons" },
        button("Take the step: a⟨t⟩ becomes the old state", step, { class: "ae-button ae-main" }),
        button("Start again", () => mountCell(host, setup))),
      history,
    );
    update();
  }

  book.explorers = { ...book.explorers, cell: mountCell };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
