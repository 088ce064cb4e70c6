// What one model does with one sentence: translation, links, matrix, step panel, beam.
(function (book) {
  "use strict";
  const { make, show } = book.ui;
  const { setWeight, hardLinks, alignmentErrorRate } = book.numbers;

  /** Typed arrays, missing fields: everything the views read, as plain arrays. */
  function plain(result) {
    const steps = result.steps.map((step) => ({
      ...step,
      scores: Array.from(step.scores || []),
      weights: Array.from(step.weights || []),
      context: Array.from(step.context || []),
      local: step.centre !== null && step.centre !== undefined,
    }));
    return { ...result, steps };
  }

  /** Which links to outline, if the words written are the reference's. */
  function goldOf(gold, words) {
    if (!gold || gold.target.join(" ") !== words.join(" ")) return null;
    const key = (source, target) => `${source} ${target}`;
    const sure = new Set(gold.sure.map((link) => key(...link)));
    const possible = new Set(gold.possible.map((link) => key(...link)));
    return (source, target) =>
      sure.has(key(source, target)) ? "sure" : possible.has(key(source, target)) ? "possible" : null;
  }

  function errorText(answer) {
    const { gold, result, reference } = answer;
    if (!gold || !result.steps.some((step) => step.weights.length)) return "";
    const same = gold.target.join(" ") === result.words.join(" ");
    const rows = same ? result.steps.map((step) => step.weights) : reference;
    if (!rows) return "";
    const links = hardLinks(rows, gold.target.length, gold.sourceLength);
    const rate = show(alignmentErrorRate(links, gold.sure, gold.possible));
    return same
      ? `Alignment error rate of this sentence: ${rate} (outlined: the gold links)`
      : `Not the reference, “${gold.target.join(" ")}”. With the reference forced, the alignment error rate is ${rate}.`;
  }

  /**
   * handlers: edit(overrides) after weights were set by hand, null where they cannot be. `suffix`
   * tells a second view's names from the first's.
   */
  function makeView({ suffix = "", handlers }) {
    const model = make("p", { class: "ae-model" });
    const written = make("p", { class: "ae-words-written", dir: "auto" });
    const error = make("p", { class: "ae-note ae-aer" });
    const region = make(
      "div",
      { class: "ae-translation", role: "region", "aria-label": `Translation${suffix}`, "aria-live": "polite" },
      model, written, error,
    );
    const pictures = make("div", { class: "ae-pictures" });
    const beam = make("div");
    const panel = book.makeStepPanel({
      step: (by) => choose(chosen + by),
      choose: (index) => choose(index),
      edit: (source, weight) => edit(chosen, source, weight),
      resetAll: () => reset(null),
    });
    const element = make("div", { class: "ae-view" }, region, pictures, panel.element, beam);

    let answer = null;
    let chosen = 0;
    let overrides = {};

    const editable = () => Boolean(handlers.edit) && answer.beam === 1;
    const edited = () => new Set(Object.keys(overrides).map(Number));

    function edit(step, source, weight) {
      if (!editable()) return;
      overrides = { ...overrides, [step]: setWeight(answer.result.steps[step].weights, source, weight) };
      chosen = step;
      handlers.edit(overrides);
    }

    function reset(step) {
      if (Object.keys(overrides).length === 0) return;
      if (step === null) overrides = {};
      else delete overrides[step];
      handlers.edit(overrides);
    }

    function choose(index) {
      if (index < 0 || index >= answer.result.steps.length) return;
      chosen = index;
      showPanel();
      mark(chosen, null);
    }

    /** Only classes change while the pointer moves, so that it is done within a frame. */
    function mark(step, source) {
      const row = step === null ? chosen : step;
      for (const node of element.querySelectorAll(".ae-pictures [data-step], .ae-pictures [data-source]")) {
        const { step: ofStep, source: ofSource } = node.dataset;
        const inRow = ofStep !== undefined && Number(ofStep) === row;
        const inColumn = source !== null && ofSource !== undefined && Number(ofSource) === source;
        node.classList.toggle("ae-in-row", inRow && (step !== null || source === null));
        node.classList.toggle("ae-in-column", inColumn);
      }
      for (const node of element.querySelectorAll(".ae-scores tr[data-source]")) {
        node.classList.toggle("ae-in-column", Number(node.dataset.source) === source);
      }
      element.classList.toggle("ae-pointing", source !== null && step === null);
    }

    function showPanel() {
      panel.show({
        steps: answer.result.steps, index: chosen, source: answer.labels, unknown: answer.unknownAt,
        edited: edited(), editable: editable(),
      });
    }

    function drawPictures() {
      const { result, labels, unknownAt, gold } = answer;
      const rows = result.steps.map((step) => step.weights).filter((row) => row.length);
      const target = result.steps.map((step) => step.word);
      const links = book.makeLinks({
        source: labels, target, rows, unknown: unknownAt,
        handlers: {
          step: choose,
          pointStep: (step) => mark(step, null),
          pointSource: (source) => mark(null, source),
        },
      });
      const matrix = rows.length
        ? book.makeMatrix({
            name: `Attention weights${suffix}`, source: labels, target, rows, unknown: unknownAt,
            gold: goldOf(gold, result.words), edited: edited(),
            handlers: {
              choose: (step, source) => { chosen = step; showPanel(); mark(step, source); },
              point: mark,
              edit: editable() ? edit : null,
              reset,
            },
          })
        : make("p", {
            class: "ae-note",
            text: "No attention: at every step the decoder sees the same vector, and there is no weight to show.",
          });
      pictures.replaceChildren(links, make("div", { class: "ae-matrix-box" }, matrix));
      beam.replaceChildren(...(result.tree ? [
        make("p", { class: "ae-label", text: "The beam: log-probabilities of the beginnings that were kept" }),
        book.makeTree(result.tree, result.text),
      ] : []));
    }

    /** Draw an answer: {title, labels, unknownAt, gold, result, reference, beam}. */
    function showAnswer(next, { keepStep = false, keepEdits = false } = {}) {
      const focused = element.contains(document.activeElement) && document.activeElement.dataset;
      const back = focused && focused.step !== undefined && document.activeElement.tagName === "TD"
        ? [focused.step, focused.source] : null;
      answer = { ...next, result: plain(next.result) };
      if (!keepEdits) overrides = {};
      chosen = Math.min(keepStep ? chosen : 0, answer.result.steps.length - 1);
      model.textContent = answer.title;
      written.textContent = answer.result.text || "(nothing: the model ended at once)";
      error.textContent = errorText(answer);
      drawPictures();
      showPanel();
      mark(chosen, null);
      if (back) pictures.querySelector(`td[data-step="${back[0]}"][data-source="${back[1]}"]`)?.focus();
    }

    return { element, show: showAnswer, overrides: () => overrides };
  }

  book.makeView = makeView;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
