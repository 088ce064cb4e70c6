// Two sentences side by side, and a line from every word written to the words it looked at.
(function (book) {
  "use strict";
  const { make, draw, show } = book.ui;

  const ROW = 28; // pixels, as --ae-row in the style sheet
  const FAINTEST = 0.05; // weaker lines are not drawn

  const middle = (row) => ROW * row + ROW / 2;

  function line(from, to, weight) {
    const [start, end] = [middle(from), middle(to)];
    return draw("path", {
      d: `M0 ${start} C45 ${start} 55 ${end} 100 ${end}`,
      "data-source": from,
      "data-step": to,
      "stroke-width": (1 + 5 * weight).toFixed(2),
      "stroke-opacity": Math.max(0.12, weight).toFixed(2),
    });
  }

  /** One sentence that says in words what the lines say. */
  function describe(source, target, rows) {
    const looks = target.map((word, step) => {
      const row = rows[step] || [];
      const best = row.indexOf(Math.max(...row));
      return best < 0 ? word : `${word} from ${source[best]} (${show(row[best])})`;
    });
    return `Where each word looked most: ${looks.join(", ")}`;
  }

  function words(list, kind, unknown, handlers) {
    return make(
      "ul",
      { class: `ae-words ae-of-${kind}` },
      list.map((word, index) =>
        make(
          "li",
          {},
          make("button", {
            type: "button",
            text: word,
            class: unknown.has(index) ? "ae-unknown" : null,
            title: unknown.has(index) ? "not in the vocabulary: read as <unk>" : null,
            [`data-${kind}`]: index,
            on: {
              click: () => handlers.choose(index),
              focus: () => handlers.point(index),
              blur: () => handlers.point(null),
              pointerenter: () => handlers.point(index),
              pointerleave: () => handlers.point(null),
            },
          }),
        ),
      ),
    );
  }

  /**
   * The picture. `rows[step][source]` are weights, empty for a model without attention; `unknown`
   * is a Set of source positions. Handlers: step(index), pointStep(index), pointSource(index).
   */
  function makeLinks({ source, target, rows, unknown, handlers }) {
    const count = Math.max(source.length, target.length);
    const lines = rows.flatMap((row, step) =>
      row.flatMap((weight, from) => (weight >= FAINTEST ? [line(from, step, weight)] : [])),
    );
    return make(
      "div",
      { class: "ae-links", role: "group", "aria-label": "Links between the sentences" },
      words(source, "source", unknown, {
        choose: handlers.pointSource,
        point: handlers.pointSource,
      }),
      draw(
        "svg",
        {
          class: "ae-lines",
          viewBox: `0 0 100 ${ROW * count}`,
          height: ROW * count,
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": describe(source, target, rows),
        },
        lines,
      ),
      words(target, "step", new Set(), { choose: handlers.step, point: handlers.pointStep }),
    );
  }

  book.makeLinks = makeLinks;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
