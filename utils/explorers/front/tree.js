// The beam as a tree: every beginning that was kept, step by step, with its log-probability.
(function (book) {
  "use strict";
  const { make, draw, show, shorten } = book.ui;

  const [WIDE, HIGH, BOX, PAD] = [104, 46, 88, 6];

  /** Places by depth (column) and rank within the depth (row). */
  function layout(nodes) {
    const byId = new Map(nodes.map((node) => [node.id, { ...node }]));
    const depth = (node) => {
      if (node.depth === undefined) {
        const parent = byId.get(node.parent);
        node.depth = parent ? depth(parent) + 1 : 0;
      }
      return node.depth;
    };
    const columns = [];
    for (const node of byId.values()) (columns[depth(node)] ||= []).push(node);
    for (const column of columns) {
      column.sort((a, b) => b.logProbability - a.logProbability);
      column.forEach((node, row) => Object.assign(node, { row }));
    }
    return { byId, columns };
  }

  function makeTree(nodes, chosen) {
    const { byId, columns } = layout(nodes.filter((node) => node.kept));
    const height = Math.max(...columns.map((column) => column.length)) * HIGH + PAD;
    const left = (node) => node.depth * WIDE + PAD;
    const top = (node) => node.row * HIGH + PAD;
    const kind = (node) =>
      [node.best && "ae-best", node.finished && "ae-end"].filter(Boolean).join(" ");
    const edges = [...byId.values()].flatMap((node) => {
      const parent = byId.get(node.parent);
      if (!parent) return [];
      const [x, y] = [left(parent) + BOX, top(parent) + 18];
      const [to, end] = [left(node), top(node) + 18];
      const d = `M${x} ${y}C${x + 8} ${y} ${to - 8} ${end} ${to} ${end}`;
      return [draw("path", { d, class: kind(node) || null })];
    });
    const boxes = [...byId.values()].map((node) =>
      draw(
        "g",
        { class: `ae-node ${kind(node)}`, transform: `translate(${left(node)} ${top(node)})` },
        draw("rect", { width: BOX, height: 36, rx: 5 }),
        draw("text", { x: BOX / 2, y: 15, class: "ae-node-word", text: shorten(node.word || "<bos>", 12) }),
        draw("text", { x: BOX / 2, y: 29, class: "ae-node-number", text: show(node.logProbability) }),
      ),
    );
    const width = columns.length * WIDE + PAD;
    return make(
      "div",
      { class: "ae-tree-box", tabindex: "0", role: "group", "aria-label": "Beam" },
      draw(
        "svg",
        {
          class: "ae-tree", width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
          "aria-label": `The beam: ${byId.size} beginnings over ${columns.length} steps; the chosen one is “${chosen}”`,
        },
        draw("g", { class: "ae-edges" }, edges),
        boxes,
      ),
    );
  }

  book.makeTree = makeTree;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
