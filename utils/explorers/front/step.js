// One step of the decoder with its numbers: scores, softmax, weights, context, next word.
(function (book) {
  "use strict";
  const { make, draw, show, button } = book.ui;
  const { softmax, sum } = book.numbers;

  /** A vector as bars: up is positive, down negative, the largest fills the height. */
  function strip(vector) {
    const largest = Math.max(1e-9, ...vector.map(Math.abs));
    const bars = vector.map((value, index) => {
      const height = (Math.abs(value) / largest) * 20;
      return `M${index + 0.1} 20h0.8v${(value > 0 ? -height : height).toFixed(2)}h-0.8z`;
    });
    return draw(
      "svg",
      {
        class: "ae-strip",
        viewBox: `0 0 ${Math.max(1, vector.length)} 40`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `The context, ${vector.length} numbers, largest size ${show(largest)}`,
      },
      draw("path", { d: bars.join("") }),
    );
  }

  function contextBlock(vector, fixed) {
    const title = fixed ? "The fixed vector c, the same at every step" : "Context: Σ weight · memory";
    return [
      make("p", { class: "ae-label", text: `${title} (${vector.length} numbers)` }),
      strip(vector),
      make(
        "details",
        { class: "ae-details" },
        make("summary", { text: "The numbers" }),
        make("p", { class: "ae-numbers", text: vector.map((value) => show(value, 3)).join("  ") }),
      ),
    ];
  }

  function nextWords(probabilities) {
    const row = ({ word, probability }) =>
      make(
        "tr",
        {},
        make("th", { scope: "row", text: word }),
        make("td", { class: "ae-number", text: show(probability, 4) }),
        make("td", { class: "ae-bar", variables: { "--w": probability.toFixed(4) } }),
      );
    return make(
      "table",
      { class: "ae-next", "aria-label": "Next-word probabilities" },
      make("caption", { text: "Next word: the five likeliest" }),
      make("tbody", {}, probabilities.map(row)),
    );
  }

  /** The table of scores; `update` writes new numbers without replacing a slider in use. */
  function scoreTable(source, unknown, edit) {
    const rows = source.map((word, position) => {
      const [score, power, weight] = ["", "", ""].map(() => make("td", { class: "ae-number" }));
      const input = make("input", {
        type: "range", min: 0, max: 1, step: 0.01, "aria-label": `Weight of ${word}`,
        disabled: !edit,
        on: { input: () => edit(position, Number(input.value)) },
      });
      const bar = make("td", { class: "ae-slide" }, input);
      const name = make("th", {
        scope: "row", text: word, class: unknown.has(position) ? "ae-unknown" : null,
      });
      const row = make("tr", { "data-source": position }, name, score, power, weight, bar);
      return { row, score, power, weight, input, bar };
    });
    const [total, weights] = ["", ""].map(() => make("td", { class: "ae-number" }));
    const heads = ["", "score", "exp(score − max)", "weight", "change it"];
    const element = make(
      "table",
      { class: "ae-scores", "aria-label": "Scores and weights of this step" },
      make("thead", {}, make("tr", {}, heads.map((text) =>
        text ? make("th", { scope: "col", text }) : make("td")))),
      make("tbody", {}, rows.map(({ row }) => row)),
      make("tfoot", {}, make("tr", {},
        make("th", { scope: "row", text: "sum" }), make("td"), total, weights, make("td"))),
    );
    function update(step) {
      // Inside a local window only the positions with a weight take part in the softmax.
      const allowed = step.weights.map((weight) => !step.local || weight > 0);
      const { powers, total: all } = softmax(step.scores, allowed);
      rows.forEach((cells, position) => {
        cells.score.textContent = show(step.scores[position]);
        cells.power.textContent = show(powers[position], 4);
        cells.weight.textContent = show(step.weights[position], 4);
        cells.bar.style.setProperty("--w", step.weights[position].toFixed(4));
        if (Math.abs(Number(cells.input.value) - step.weights[position]) > 0.005) {
          cells.input.value = step.weights[position];
        }
      });
      total.textContent = show(all, 4);
      weights.textContent = show(sum(step.weights), 4);
    }
    return { element, update };
  }

  function stepper(handlers) {
    const back = button("◀ Back", () => handlers.step(-1));
    const forward = button("Forward ▶", () => handlers.step(1));
    const reset = button("Reset weights", handlers.resetAll);
    const slide = make("input", {
      type: "range", min: 1, step: 1, "aria-label": "Step of the decoder",
      on: { input: () => handlers.choose(Number(slide.value) - 1) },
    });
    const element = make("div", { class: "ae-stepper" }, back, slide, forward, reset);
    return { element, back, forward, reset, slide };
  }

  /**
   * handlers: step(±1), choose(step), edit(source, weight) or null, resetAll(). `show` draws a
   * step; called again with the same words it only writes the numbers.
   */
  function makeStepPanel(handlers) {
    const bar = stepper(handlers);
    const title = make("p", { class: "ae-step-title" });
    const note = make("p", { class: "ae-note" });
    const left = make("div", { class: "ae-step-left" });
    const context = make("div", { class: "ae-context" });
    const next = make("div");
    const right = make("div", { class: "ae-step-right" }, context, next);
    const element = make(
      "div",
      { class: "ae-step", role: "group", "aria-label": "One step of the decoder" },
      bar.element,
      title,
      make("div", { class: "ae-step-grid" }, left, right),
      note,
    );
    let drawn = null;
    let scores = null;

    function showStep({ steps, index, source, unknown, edited, editable }) {
      const step = steps[index];
      const key = JSON.stringify([source, editable, step.weights.length]);
      if (key !== drawn) {
        scores = step.weights.length
          ? scoreTable(source, unknown, editable ? handlers.edit : null)
          : null;
        left.replaceChildren(
          scores ? scores.element : make("p", {
            class: "ae-note",
            text: "This model has no attention, so there are no scores and no weights.",
          }),
        );
        drawn = key;
      }
      if (scores) scores.update(step);
      title.textContent = `Step ${index + 1} of ${steps.length}: writes “${step.word}”`;
      note.textContent = noteFor(step, edited.has(index), editable);
      const open = context.querySelector("details[open]");
      context.replaceChildren(
        ...(step.context.length ? contextBlock(step.context, !step.weights.length) : []),
      );
      if (open) context.querySelector("details")?.setAttribute("open", "");
      next.replaceChildren(nextWords(step.probabilities));
      bar.slide.max = steps.length;
      bar.slide.value = index + 1;
      bar.slide.setAttribute("aria-valuetext", `step ${index + 1}, ${step.word}`);
      setEnabled(bar.back, index > 0);
      setEnabled(bar.forward, index < steps.length - 1);
      setEnabled(bar.reset, edited.size > 0);
    }

    return { element, show: showStep };
  }

  // A button that is switched off keeps the focus, so that the keyboard does not lose its place.
  const setEnabled = (target, enabled) => target.setAttribute("aria-disabled", String(!enabled));

  function noteFor(step, isEdited, editable) {
    const parts = [];
    if (step.local) {
      parts.push(`The window's centre is p_t = ${show(step.centre)}; words outside it get no weight.`);
    }
    if (isEdited) parts.push("These weights were set by hand; the scores are still the model's.");
    else if (editable && step.weights.length) {
      parts.push(
        "Move a slider, or drag a cell of the matrix up or down (keys: + and −). The other weights " +
          "make room, and the sentence is written on from here.",
      );
    }
    return parts.join(" ");
  }

  book.makeStepPanel = makeStepPanel;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
