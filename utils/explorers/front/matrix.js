// The weights as a table: one row for each word written, one column for each word read.
(function (book) {
  "use strict";
  const { make, show } = book.ui;

  const NUDGE = 0.05;
  const DRAG = 120; // pixels from weight 0 to weight 1

  /**
   * handlers: choose(step, source), point(step, source) or point(null, null), edit(step, source,
   * weight), reset(step). Without `edit` the weights are only shown.
   */
  function makeMatrix({ name, source, target, rows, unknown, gold, edited, handlers }) {
    const cells = rows.map((row, step) =>
      row.map((weight, column) => makeCell(step, column, weight, gold, handlers)),
    );
    const head = source.map((word, column) =>
      make("th", {
        scope: "col",
        "data-source": column,
        class: unknown.has(column) ? "ae-unknown" : null,
      }, make("span", { text: word })),
    );
    const body = rows.map((_, step) =>
      make(
        "tr",
        { "data-step": step, class: edited.has(step) ? "ae-edited" : null },
        make("th", { scope: "row", text: target[step], title: edited.has(step) ? "edited" : null }),
        cells[step],
      ),
    );
    const table = make(
      "table",
      { class: "ae-matrix", "aria-label": name },
      make("caption", { text: name }),
      make("thead", {}, make("tr", {}, make("td"), head)),
      make("tbody", {}, body),
    );
    steer(table, cells, handlers);
    return table;
  }

  function makeCell(step, column, weight, gold, handlers) {
    const link = gold ? gold(column, step) : null; // "sure", "possible" or null
    return make("td", {
      tabindex: "-1",
      "data-step": step,
      "data-source": column,
      "data-weight": weight.toFixed(6),
      class: link ? `ae-${link}` : null,
      text: show(weight),
      variables: { "--w": Math.min(1, weight).toFixed(4) },
      on: {
        pointerenter: () => handlers.point(step, column),
        pointerleave: () => handlers.point(null, null),
        focus: () => handlers.choose(step, column),
      },
    });
  }

  /**
   * Arrow keys walk from cell to cell, one of which is in the tab order; + and −, or the arrow
   * keys with shift, change a weight.
   */
  function steer(table, cells, handlers) {
    const place = (cell) => [Number(cell.dataset.step), Number(cell.dataset.source)];
    const move = (step, column) => {
      const row = cells[Math.min(cells.length - 1, Math.max(0, step))];
      row[Math.min(row.length - 1, Math.max(0, column))].focus();
    };
    const change = (cell, amount) => {
      const [step, column] = place(cell);
      if (handlers.edit) handlers.edit(step, column, Number(cell.dataset.weight) + amount);
    };
    table.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td[data-step]");
      if (!cell || event.ctrlKey || event.altKey || event.metaKey) return;
      const [step, column] = place(cell);
      const nudges = { ArrowUp: NUDGE, ArrowDown: -NUDGE };
      if (event.shiftKey && nudges[event.key]) {
        event.preventDefault();
        change(cell, nudges[event.key]);
        return;
      }
      const actions = {
        ArrowLeft: () => move(step, column - 1),
        ArrowRight: () => move(step, column + 1),
        ArrowUp: () => move(step - 1, column),
        ArrowDown: () => move(step + 1, column),
        Home: () => move(step, 0),
        End: () => move(step, Infinity),
        "+": () => change(cell, NUDGE),
        "=": () => change(cell, NUDGE),
        "-": () => change(cell, -NUDGE),
        Delete: () => handlers.reset && handlers.reset(step),
        Backspace: () => handlers.reset && handlers.reset(step),
      };
      if (!actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
    });
    table.addEventListener("pointerdown", (event) => {
      const cell = event.target.closest("td[data-step]");
      // A finger scrolls; on a touch screen the sliders below change the weights.
      if (!cell || !handlers.edit || event.pointerType === "touch" || event.button !== 0) return;
      drag(event.clientY, place(cell), Number(cell.dataset.weight), handlers);
    });
    if (cells.length && cells[0].length) cells[0][0].tabIndex = 0;
  }

  /** The window listens, since the table is drawn anew with every change. */
  function drag(top, [step, column], weight, handlers) {
    let moved = false;
    const follow = (event) => {
      moved = moved || Math.abs(event.clientY - top) > 3;
      if (moved) handlers.edit(step, column, weight + (top - event.clientY) / DRAG);
    };
    const stop = () => {
      window.removeEventListener("pointermove", follow);
      window.removeEventListener("pointerup", stop);
      window.removeEventListener("pointercancel", stop);
    };
    window.addEventListener("pointermove", follow);
    window.addEventListener("pointerup", stop);
    window.addEventListener("pointercancel", stop);
  }

  book.makeMatrix = makeMatrix;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
