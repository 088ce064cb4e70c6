// Finds the explorers of a page and brings them to life; in a notebook `render` does the same.
(function (book) {
  "use strict";

  const script = document.currentScript; // null in a notebook, where this is a module
  const base = script ? new URL("models/", script.src).href : null;

  const read = (text, otherwise) => (text ? JSON.parse(text) : otherwise);

  /** What the mount's data attributes say. */
  function readSetup({ dataset }) {
    const models = read(dataset.models, null) ||
      (dataset.model ? [{ name: dataset.model, title: dataset.title || dataset.model }] : []);
    return {
      models,
      examples: read(dataset.examples, []),
      shown: read(dataset.example, null),
      limit: Number(dataset.limit) || null,
      options: read(dataset.options, {}),
    };
  }

  function start(mount, setup, connection) {
    const mountKind = book.explorers[mount.dataset.kind];
    if (!mountKind) throw new Error(`there is no explorer of kind "${mount.dataset.kind}"`);
    mountKind(mount, setup, connection);
    mount.classList.add("ae-on");
  }

  /** A fault in one explorer leaves the others, and what it showed before, as they were. */
  function startPage() {
    for (const mount of document.querySelectorAll(".attention-explorer[data-kind]:not(.ae-on)")) {
      try {
        if (!mount.hasAttribute("data-still")) start(mount, readSetup(mount), book.connectPage(base));
      } catch (error) {
        console.warn(`An explorer could not be started: ${error.message}`);
      }
    }
  }

  /** JupyterLab would take arrows, letters and Delete from everything that is not a text field. */
  function keepKeys({ target }) {
    if (!target.matches("input[type=text]")) target.dataset.lmSuppressShortcuts = "true";
  }

  /**
   * The widget's side: `model` carries `kind` and `setup`, and messages to the kernel. `patience`,
   * in milliseconds, is for tests.
   */
  function render({ model, el, patience }) {
    const { kind, ...setup } = model.get("setup");
    const mount = document.createElement("div");
    mount.className = "attention-explorer";
    mount.dataset.kind = kind;
    mount.addEventListener("focusin", keepKeys);
    el.append(mount);
    start(mount, setup, book.connectKernel(model, patience));
  }

  book.render = render;
  if (script) {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startPage);
    else startPage();
  }
})((globalThis.attentionBook = globalThis.attentionBook || {}));
