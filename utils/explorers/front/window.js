// Local attention without a model: a centre, a window, a Gaussian, and what is left of the scores.
(function (book) {
  "use strict";
  const { make, show, slider, choice, button } = book.ui;
  const { softmax, sum, times, sigmoid } = book.numbers;

  const CENTRES = [
    ["local-p", "predicted from h_t (local-p)"],
    ["local-m", "the step itself, p_t = t (local-m)"],
    ["hand", "set by hand"],
  ];

  /** Where the window stands; as LocalAttention.find_centre, positions from 0. */
  function findCentre({ centre, length, step, state, W_p, v_p, hand }) {
    if (centre === "local-m") return Math.min(step, length - 1);
    if (centre === "hand") return Math.min(hand, length - 1);
    const hidden = times(W_p, state).map(Math.tanh);
    return Math.min(length * sigmoid(times([v_p], hidden)[0]), length - 1);
  }

  /** As LocalAttention.weigh: softmax inside the window; but for local-m, times a Gaussian. */
  function weigh(values) {
    const centre = findCentre(values);
    const scores = values.scores.slice(0, values.length);
    const distances = scores.map((_, position) => position - centre);
    const inside = distances.map((distance) => Math.abs(distance) <= values.window);
    const shares = softmax(scores, inside).weights;
    const sigma = values.window / 2;
    const bell = distances.map((distance) =>
      values.centre === "local-m" ? 1 : Math.exp(-(distance ** 2) / (2 * sigma ** 2)),
    );
    return { centre, scores, inside, shares, bell, weights: shares.map((share, s) => share * bell[s]) };
  }

  function explain(values, found) {
    const p = show(found.centre, 3);
    if (values.centre === "local-m") return `p_t = min(t, S − 1) = ${p}. Weights: the softmax inside the window.`;
    const bell = `σ = D / 2 = ${show(values.window / 2)}. Weight = softmax · Gaussian.`;
    if (values.centre === "hand") return `p_t = ${p}, ${bell}`;
    const hidden = times(values.W_p, values.state).map(Math.tanh);
    const logit = times([values.v_p], hidden)[0];
    const list = hidden.map((number) => show(number)).join(", ");
    return (
      `tanh(W_p h_t) = (${list}); v_p · that = ${show(logit, 3)}; ` +
      `p_t = S · sigmoid = ${values.length} · ${show(sigmoid(logit), 3)}, at most S − 1: ${p}. ${bell}`
    );
  }

  function mountWindow(host, setup) {
    const start = setup.options;
    const values = JSON.parse(JSON.stringify(start));
    const change = (edit) => (number) => {
      edit(number);
      update();
    };

    // --- controls ---------------------------------------------------------------------------
    const mode = choice("Centre p_t", "centre", CENTRES, values.centre, (name) => {
      values.centre = name;
      arrange();
      update();
    });
    const size = slider("D, words to either side", { min: 1, max: 8, step: 1, value: values.window, decimals: 0, name: "window" },
      change((number) => { values.window = number; }));
    const length = slider("S, source words", { min: 2, max: values.scores.length, step: 1, value: values.length, decimals: 0, name: "length" },
      (number) => {
        values.length = number;
        values.hand = Math.min(values.hand, number - 1);
        drawRows();
        update();
      });
    const step = slider("t, the step", { min: 0, max: values.scores.length - 1, step: 1, value: values.step, decimals: 0, name: "step" },
      change((number) => { values.step = number; }));
    const hand = slider("p_t", { min: 0, max: values.scores.length - 1, step: 0.05, value: values.hand, name: "hand" },
      change((number) => { values.hand = number; }));
    const learnt = [
      ...values.state.map((value, i) => [`h_t [${i + 1}]`, value, (number) => { values.state[i] = number; }]),
      ...values.v_p.map((value, i) => [`v_p [${i + 1}]`, value, (number) => { values.v_p[i] = number; }]),
      ...values.W_p.flatMap((row, i) => row.map((value, j) =>
        [`W_p [${i + 1}, ${j + 1}]`, value, (number) => { values.W_p[i][j] = number; }])),
    ].map(([label, value, edit]) => slider(label, { min: -3, max: 3, step: 0.05, value }, change(edit)).element);
    const predicted = make("div", { class: "ae-sliders" }, learnt);
    const reset = button("Start again", () => mountWindow(host, setup));

    function arrange() {
      predicted.classList.toggle("ae-off", values.centre !== "local-p");
      step.element.classList.toggle("ae-off", values.centre !== "local-m");
      hand.element.classList.toggle("ae-off", values.centre !== "hand");
    }

    // --- the picture ------------------------------------------------------------------------
    const bars = make("div", { class: "ae-chart-bars" });
    const band = make("div", { class: "ae-chart-band" });
    const marker = make("div", {
      class: "ae-chart-marker", tabindex: "0", role: "slider", "aria-label": "Centre p_t", "aria-valuemin": 0,
    });
    const chart = make("div", { class: "ae-chart" }, band, bars, marker);
    const legend = make("p", { class: "ae-legend" },
      ["softmax", "Gaussian", "weight"].map((name) => make("span", { class: `ae-key ae-key-${name.toLowerCase()}`, text: name })));
    const formula = make("p", { class: "ae-note ae-formula" });

    /** Dragging or arrow keys on the line: by hand, or the step if the centre is the step. */
    function moveTo(position) {
      const place = Math.min(values.length - 1, Math.max(0, position));
      if (values.centre === "local-m") values.step = Math.round(place);
      else {
        values.centre = "hand";
        values.hand = Math.round(place * 20) / 20;
        mode.querySelector("select").value = "hand";
      }
      arrange();
      step.set(values.step);
      hand.set(values.hand);
      update();
    }
    marker.addEventListener("keydown", (event) => {
      const amount = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!amount) return;
      event.preventDefault();
      moveTo(findCentre(values) + amount * (values.centre === "local-m" ? 1 : 0.1));
    });
    chart.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const box = bars.getBoundingClientRect();
      const follow = (at) => moveTo(((at.clientX - box.left) / box.width) * values.length - 0.5);
      chart.setPointerCapture(event.pointerId);
      follow(event);
      chart.onpointermove = follow;
      chart.onpointerup = chart.onpointercancel = () => { chart.onpointermove = null; };
    });

    // --- the table --------------------------------------------------------------------------
    const body = make("tbody");
    const total = [0, 1].map(() => make("td", { class: "ae-number" }));
    const table = make("table", { class: "ae-scores", "aria-label": "Local attention weights" },
      make("thead", {}, make("tr", {}, ["s", "score", "softmax", "Gaussian", "weight"].map((text) => make("th", { scope: "col", text })), make("th", { scope: "col", text: "change the score" }))),
      body,
      make("tfoot", {}, make("tr", {}, make("th", { scope: "row", text: "sum" }), make("td"), total[0], make("td"), total[1], make("td"))));
    let rows = [];

    function drawRows() {
      rows = Array.from({ length: values.length }, (_, s) => {
        const cells = [0, 1, 2, 3].map(() => make("td", { class: "ae-number" }));
        const input = make("input", { type: "range", min: -3, max: 3, step: 0.1, "aria-label": `Score of word ${s}`,
          on: { input: () => { values.scores[s] = Number(input.value); update(); } } });
        input.value = values.scores[s];
        const row = make("tr", {}, make("th", { scope: "row", text: s }), cells, make("td", { class: "ae-slide" }, input));
        const column = ["softmax", "gaussian", "weight"].map((name) => make("i", { class: `ae-${name}` }));
        return { row, cells, column, element: make("div", { class: "ae-chart-column" }, column, make("b", { text: s })) };
      });
      body.replaceChildren(...rows.map(({ row }) => row));
      bars.replaceChildren(...rows.map(({ element }) => element));
    }

    function update() {
      const found = weigh(values);
      rows.forEach(({ row, cells, column }, s) => {
        const numbers = [found.scores[s], found.shares[s], found.bell[s], found.weights[s]];
        numbers.forEach((number, place) => { cells[place].textContent = show(number, place ? 4 : 2); });
        row.classList.toggle("ae-outside", !found.inside[s]);
        column.forEach((bar, place) => bar.style.setProperty("--w", numbers[place + 1].toFixed(4)));
      });
      total[0].textContent = show(sum(found.shares), 4);
      total[1].textContent = show(sum(found.weights), 4);
      const share = (position) => `${(Math.min(1, Math.max(0, position / values.length)) * 100).toFixed(2)}%`;
      marker.style.left = share(found.centre + 0.5);
      marker.dataset.value = `p_t = ${show(found.centre)}`;
      marker.setAttribute("aria-valuenow", found.centre.toFixed(2));
      marker.setAttribute("aria-valuemax", values.length - 1);
      const [left, right] = [found.centre - values.window + 0.5, found.centre + values.window + 0.5].map(share);
      band.style.left = left;
      band.style.right = `calc(100% - ${right})`;
      formula.textContent = explain(values, found);
    }

    host.replaceChildren(
      make("div", { class: "ae-controls" },
        make("div", { class: "ae-sliders" }, mode, size.element, length.element, step.element, hand.element)),
      chart, legend, formula, predicted,
      make("div", { class: "ae-step-left" }, table),
      make("div", { class: "ae-buttons" }, reset),
    );
    drawRows();
    arrange();
    update();
  }

  book.explorers = { ...book.explorers, window: mountWindow };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
