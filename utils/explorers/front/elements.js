// Small tools to build the explorers' page elements. Text only ever enters through textContent.
(function (book) {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";

  function fill(node, properties, children) {
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "text") node.textContent = value;
      else if (name === "on") {
        for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
      } else if (name === "variables") {
        for (const [key, number] of Object.entries(value)) node.style.setProperty(key, number);
      } else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  /** An HTML element: properties are attributes, and `text`, `on` (handlers), `variables` (CSS). */
  const make = (tag, properties = {}, ...children) =>
    fill(document.createElement(tag), properties, children);

  /** The same in SVG. */
  const draw = (tag, properties = {}, ...children) =>
    fill(document.createElementNS(SVG, tag), properties, children);

  /** A number with a fixed count of decimals, a true minus sign, and no minus before zero. */
  function show(number, decimals = 2) {
    if (number === Infinity) return "∞";
    if (number === -Infinity) return "−∞";
    if (!Number.isFinite(number)) return "–";
    const text = number.toFixed(decimals);
    return /^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", "−");
  }

  /** A long word, cut for a message; the typed text may be of any length. */
  const shorten = (word, length = 40) => {
    const letters = Array.from(word);
    return letters.length > length ? letters.slice(0, length - 1).join("") + "…" : word;
  };

  /** A labelled choice; options are [value, text]. */
  function choice(label, name, options, chosen, handler) {
    const select = make("select", { name, "aria-label": label, on: { change: () => handler(select.value) } });
    setOptions(select, options, chosen);
    return make("label", { class: "ae-choice" }, make("span", { text: label }), select);
  }

  function setOptions(select, options, chosen) {
    select.replaceChildren(
      ...options.map(([value, text]) => make("option", { value, text, selected: value === chosen })),
    );
  }

  /** A labelled slider with its number beside it. `handler` gets the number. */
  function slider(label, { min, max, step, value, decimals = 2, name }, handler) {
    const output = make("output", { text: show(value, decimals) });
    const input = make("input", { type: "range", min, max, step, name });
    input.value = value;
    const set = (number) => {
      input.value = number;
      output.textContent = show(Number(number), decimals);
    };
    input.addEventListener("input", () => {
      set(input.value);
      handler(Number(input.value));
    });
    const element = make(
      "label",
      { class: "ae-slider" },
      make("span", { class: "ae-slider-name", text: label }),
      input,
      output,
    );
    return { element, input, set };
  }

  const button = (text, handler, properties = {}) =>
    make("button", { type: "button", class: "ae-button", text, ...properties, on: { click: handler } });

  book.ui = { make, draw, show, shorten, choice, setOptions, slider, button };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
