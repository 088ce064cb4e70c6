// What the explorers ask of a model, and who answers: JavaScript in the page, Python in a notebook.
//
// A connection has ready(model) → Promise, and ask(model, request) → Promise of an answer (and a
// kernel's has listen, for when none comes):
//   {text, limit, beam, overrides, reference} → {words, labels, unknown, cut, result, rows}
// or {scene} → {result, grid: {rows, columns}}, for a picture.
// words are the source words, labels the positions that were read (<eos> included), cut the count
// of words left out, rows the weights with the reference forced (or null).
(function (book) {
  "use strict";

  /** Weights of every step while the reference is read in place of the model's own words. */
  function force(model, ids, reference) {
    const { tokens } = model.targetVocabulary;
    const encoded = model.encode(ids);
    let state = model.start(encoded);
    let token = tokens.indexOf("<bos>");
    return reference.map((word) => {
      const step = model.step(token, state, encoded, {});
      state = step.state;
      token = Math.max(tokens.indexOf(word), 1);
      return Array.from(step.weights || []);
    });
  }

  /** Answer a request with the engine in this page. */
  function answer(model, request) {
    if (request.scene) {
      const result = model.caption(book.renderScene(request.scene));
      return { result, grid: result.grid };
    }
    return answerText(model, request);
  }

  function answerText(model, { text, limit, beam, overrides, reference }) {
    const read = model.tokenize(text);
    const words = read.words || read.tokens.filter((token) => token !== "<eos>");
    if (words.length === 0) throw new Error("There is no word in this sentence. Write one first.");
    const cut = Math.max(0, words.length - limit);
    const kept = words.slice(0, limit);
    const ids = [...Array.from(read.ids).slice(0, kept.length), model.targetVocabulary.eosId ?? 3];
    const result = model.translate(ids, { beam, overrides });
    const same = reference && result.words.join(" ") === reference.join(" ");
    const hasWeights = result.steps.length && result.steps[0].weights;
    return {
      words: kept,
      labels: [...kept, "<eos>"],
      unknown: read.unknown.filter(({ index }) => index < kept.length),
      cut,
      result,
      rows: reference && !same && hasWeights ? force(model, ids, reference) : null,
    };
  }

  /** Add a script to the page; resolves when it has run. */
  function addScript(address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.async = true;
      script.onload = resolve;
      script.onerror = () => reject(new Error("The file with the weights could not be loaded."));
      document.head.append(script);
    });
  }

  const loaded = {}; // one copy of each model for all explorers of a page

  async function loadModel(name, base) {
    book.models = book.models || {};
    if (!book.models[name]) await addScript(`${base}${encodeURIComponent(name)}.js`);
    if (!book.models[name]) throw new Error("The file with the weights is incomplete or damaged.");
    return book.load(book.models[name]);
  }

  /** Models are files beside the page's scripts. */
  function connectPage(base) {
    const get = (name) => {
      loaded[name] = loaded[name] || loadModel(name, base);
      loaded[name].catch(() => delete loaded[name]); // the next try asks for the file again
      return loaded[name];
    };
    return { ready: get, ask: async (name, request) => answer(await get(name), request) };
  }

  const PATIENCE = 10_000; // milliseconds without an answer, until the reader is told

  /**
   * A kernel answers: messages with a number each, over the widget's own channel. While it keeps
   * silent for longer than `patience`, `listen`'s handler has a text, and else an empty one.
   */
  function connectKernel(channel, patience = PATIENCE) {
    const waiting = new Map();
    let count = 0;
    let tell = () => {};
    let clock = null;
    const startClock = () => {
      clock = setTimeout(() => {
        clock = null;
        tell(
          `No answer from the kernel for ${patience / 1000} seconds. Is it still running? ` +
            "It may be busy with another cell; if it was restarted, run this cell again.",
        );
      }, patience);
    };
    channel.on("msg:custom", (message) => {
      const found = message && waiting.get(message.id);
      if (!found) return;
      waiting.delete(message.id);
      clearTimeout(clock);
      clock = null;
      tell("");
      if (waiting.size) startClock();
      if (message.error) found.reject(new Error(message.error));
      else found.resolve(message.answer);
    });
    const ask = (model, request) =>
      new Promise((resolve, reject) => {
        const id = ++count;
        waiting.set(id, { resolve, reject });
        try {
          channel.send({ id, model, request });
        } catch { // Jupyter knows that this kernel is gone
          waiting.delete(id);
          reject(new Error("The kernel is gone. Start it again, and run this cell again."));
          return;
        }
        if (clock === null) startClock();
      });
    return { ready: async () => {}, ask, listen: (handler) => { tell = handler; } };
  }

  /** Say in `message` that the kernel keeps silent, beside what else is said there. */
  function watchSilence(connection, message) {
    const notice = book.ui.make("p", { class: "ae-error" });
    connection.listen?.((text) => {
      notice.textContent = text;
      if (text) message.append(notice);
      else notice.remove();
    });
  }

  book.connectPage = connectPage;
  book.connectKernel = connectKernel;
  book.watchSilence = watchSilence;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
