// The translation explorer: a sentence goes in, one or two models show what they do with it.
(function (book) {
  "use strict";
  const { make, shorten, choice, setOptions } = book.ui;

  const BEAMS = [1, 2, 3, 5].map((size) => [String(size), size === 1 ? "1 (greedy)" : String(size)]);
  const LIMIT = 60; // words; a longer sentence is cut, and the reader is told

  const same = (one, other) =>
    one.trim().toLowerCase().split(/\s+/).join(" ") === other.trim().toLowerCase().split(/\s+/).join(" ");

  /**
   * setup: {models: [{name, title, note}], examples: [{text, gold}], shown (an answer computed
   * before, for models[0] and examples[0])}. connection: see requests.js.
   */
  function mountTranslation(host, setup, connection) {
    const { models, examples } = setup;
    const limit = setup.limit || LIMIT;
    const titleOf = (name) => models.find((model) => model.name === name).title;
    const state = { model: models[0].name, other: "", beam: 1 };
    const sizeOf = (chosen) => {
      const size = models.filter(({ name }) => chosen.includes(name)).reduce((sum, each) => sum + (each.megabytes || 0), 0);
      return size ? ` (${size.toFixed(1)} MB)` : "";
    };

    // --- the controls -----------------------------------------------------------------------
    const field = make("input", {
      type: "text", name: "source", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      dir: "auto",
    });
    field.value = examples.length ? examples[0].text : "";
    const form = make(
      "form",
      { class: "ae-ask", on: { submit: (event) => { event.preventDefault(); run(); } } },
      make("label", {}, make("span", { text: "Source sentence" }), field),
      make("button", { type: "submit", class: "ae-button ae-main", text: "Translate" }),
    );
    const example = choice("Example", "example", exampleOptions(examples), "0", (index) => {
      if (index === "") return;
      field.value = examples[Number(index)].text;
      run();
    });
    const choices = [example];
    if (models.length > 1) {
      const options = models.map(({ name, title }) => [name, title]);
      choices.push(choice("Model", "model", options, state.model, (name) => {
        state.model = name;
        run();
      }));
      choices.push(choice("Beside it", "other", [["", "no second model"], ...options], "", (name) => {
        state.other = name;
        run();
      }));
    }
    choices.push(choice("Beam size", "beam", BEAMS, "1", (size) => {
      state.beam = Number(size);
      run();
    }));
    const controls = make(
      "div",
      { class: "ae-controls" },
      form,
      make("div", { class: "ae-choices" }, choices),
    );
    const message = make("div", { class: "ae-message", role: "status" });
    book.watchSilence(connection, message);
    const results = make("div", { class: "ae-results" });
    host.replaceChildren(controls, message, results);

    // --- the views --------------------------------------------------------------------------
    const views = ["", ", second model"].map((suffix, index) =>
      book.makeView({ suffix, handlers: { edit: (overrides) => rewrite(index, overrides) } }),
    );
    results.append(views[0].element);

    const names = () => [state.model, ...(state.other ? [state.other] : [])];
    const goldFor = (text) => examples.find((each) => each.gold && same(each.text, text))?.gold || null;

    function request(text, overrides) {
      const gold = goldFor(text);
      return {
        text, limit, overrides, beam: state.beam,
        reference: gold ? gold.target : null,
      };
    }

    function draw(index, name, text, answer, options) {
      const gold = answer.cut ? null : goldFor(text);
      views[index].show(
        {
          title: titleOf(name),
          labels: answer.labels,
          unknownAt: new Set(answer.unknown.map((each) => each.index)),
          gold: gold ? { ...gold, sourceLength: answer.words.length } : null,
          result: answer.result,
          reference: answer.rows,
          beam: state.beam,
        },
        options,
      );
    }

    let latest = 0;
    let current = examples.length ? examples[0].text : ""; // the sentence that is shown

    async function run() {
      const text = field.value;
      const turn = ++latest;
      const index = examples.findIndex((each) => same(each.text, text));
      example.querySelector("select").value = index < 0 ? "" : String(index);
      if (!text.trim()) {
        say("Write a sentence first: the field is empty.", true);
        field.focus();
        return;
      }
      say(`Loading the weights${sizeOf(names())} …`);
      results.setAttribute("aria-busy", "true");
      try {
        const answers = await Promise.all(names().map((name) => connection.ask(name, request(text, {}))));
        if (turn !== latest) return;
        current = text;
        results.classList.toggle("ae-two", answers.length > 1);
        results.replaceChildren(...answers.map((_, place) => views[place].element));
        answers.forEach((answer, place) => draw(place, names()[place], text, answer));
        report(answers[0]);
      } catch (error) {
        if (turn === latest) say(error.message, true);
      } finally {
        if (turn === latest) results.removeAttribute("aria-busy");
      }
    }

    // While one answer is awaited only the newest change waits behind it.
    const pending = [null, null];
    const busy = [false, false];

    async function rewrite(index, overrides) {
      pending[index] = overrides;
      if (busy[index]) return;
      busy[index] = true;
      try {
        while (pending[index]) {
          const [turn, wanted] = [latest, pending[index]];
          pending[index] = null;
          const answer = await connection.ask(names()[index], request(current, wanted));
          if (turn === latest) {
            draw(index, names()[index], current, answer, { keepStep: true, keepEdits: true });
          }
        }
      } catch (error) {
        say(error.message, true);
      } finally {
        busy[index] = false;
      }
    }

    // --- what is said -----------------------------------------------------------------------
    function say(text, isError = false) {
      message.replaceChildren(text);
      message.classList.toggle("ae-error", isError);
      message.setAttribute("role", isError ? "alert" : "status");
    }

    function report({ unknown, cut, words }) {
      say("");
      if (cut) {
        message.append(make("p", {
          text: `The sentence has ${words.length + cut} words. Only the first ${words.length} are read.`,
        }));
      }
      unknown.slice(0, 5).forEach((each) => message.append(unknownLine(each)));
      if (unknown.length > 5) {
        message.append(make("p", { text: `${unknown.length - 5} more words are unknown.` }));
      }
    }

    function unknownLine({ index, word, nearest }) {
      const line = make("p", {}, "Unknown word: ", make("bdi", { text: shorten(word) }), ", read as <unk>.");
      if (nearest && nearest.length) {
        line.append(" Known and nearest: ");
        nearest.forEach((known) => line.append(book.ui.button(known, () => replaceWord(index, word, known)), " "));
      }
      return line;
    }

    function replaceWord(index, word, known) {
      const parts = field.value.trim().split(/\s+/);
      const strip = (text) => text.toLowerCase().replace(/[.,;:!?]+$/, "");
      const near = parts.map((_, place) => place).sort((a, b) => Math.abs(a - index) - Math.abs(b - index));
      const place = near.find((at) => strip(parts[at]) === strip(word));
      if (place === undefined) return;
      parts[place] = known;
      field.value = parts.join(" ");
      field.focus();
      run();
    }

    if (setup.shown) draw(0, state.model, current, setup.shown);
    else if (current) run();
    return { run };
  }

  function exampleOptions(examples) {
    return [
      ["", "your own sentence"],
      ...examples.map(({ text }, index) => [String(index), shorten(text, 60)]),
    ];
  }

  book.explorers = { ...book.explorers, translation: mountTranslation };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
