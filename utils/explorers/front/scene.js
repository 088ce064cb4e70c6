// A picture that can be composed: objects are dragged or moved with the arrow keys.
(function (book) {
  "use strict";
  const { make, choice, button } = book.ui;

  const MOST = 3; // objects of a scene
  const GAP = 2; // pixels that stay free between two boxes, as in the training pictures
  const MARGIN = 4; // by which |dx| and |dy| of two objects differ there

  const half = (size) => (book.sceneParts.sizes[size][0] + book.sceneParts.sizes[size][1]) / 2;

  /** What is unlike the pictures the model was trained on, in words; empty if nothing is. */
  function oddities(scene) {
    const { ordered } = book.describeScene(scene);
    const found = [];
    ordered.forEach((one, index) => {
      ordered.slice(0, index).forEach((other) => {
        const [dx, dy] = [Math.abs(one.centre_x - other.centre_x), Math.abs(one.centre_y - other.centre_y)];
        if (Math.max(dx, dy) < one.half_size + other.half_size + GAP) found.push("two objects touch");
        else if (index - ordered.indexOf(other) === 1 && Math.abs(dx - dy) < MARGIN) {
          found.push("two objects stand on a diagonal, so that left and above are a matter of taste");
        }
      });
    });
    return [...new Set(found)];
  }

  /** `parts`: {kinds, colours, counts} of the training pictures. `changed(scene)` after every edit. */
  function makeScene(scene, parts, changed) {
    const side = scene.image_size || 64;
    const [fewest, most] = parts.counts || [1, MOST];
    const canvas = make("canvas", { width: side, height: side, class: "ae-picture", role: "img" });
    const grid = make("div", { class: "ae-overlay", "aria-hidden": "true" });
    const box = make("div", { class: "ae-box", hidden: true });
    const handles = make("div", { class: "ae-handles" });
    const stage = make("div", { class: "ae-stage" }, canvas, grid, box, handles);
    const forms = make("div", { class: "ae-objects" });
    const warning = make("p", { class: "ae-note", role: "status" });

    const keep = (value, radius) => Math.min(side - radius, Math.max(radius, Math.round(value)));

    function move(item, x, y) {
      item.centre_x = keep(x, item.half_size);
      item.centre_y = keep(y, item.half_size);
      place();
      paint();
      changed(scene);
    }

    function handleFor(item, index) {
      const handle = make("button", { type: "button", class: "ae-handle" });
      handle.addEventListener("keydown", (event) => {
        const step = event.shiftKey ? 4 : 1;
        const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!by) return;
        event.preventDefault();
        move(item, item.centre_x + by[0] * step, item.centre_y + by[1] * step);
      });
      handle.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        handle.setPointerCapture(event.pointerId);
        const frame = canvas.getBoundingClientRect();
        const [x, y] = [item.centre_x, item.centre_y];
        handle.onpointermove = (at) =>
          move(item, x + ((at.clientX - event.clientX) / frame.width) * side,
            y + ((at.clientY - event.clientY) / frame.height) * side);
        handle.onpointerup = handle.onpointercancel = () => { handle.onpointermove = null; };
      });
      handle.dataset.object = index;
      return handle;
    }

    /** Put the handles where their objects are. */
    function place() {
      scene.objects.forEach((item, index) => {
        const handle = handles.children[index];
        const percent = (value) => `${(value / side) * 100}%`;
        handle.style.left = percent(item.centre_x - item.half_size);
        handle.style.top = percent(item.centre_y - item.half_size);
        handle.style.width = handle.style.height = percent(2 * item.half_size);
        handle.setAttribute("aria-label",
          `Move the ${item.size} ${item.colour} ${item.kind}, now at ${item.centre_x}, ${item.centre_y}`);
      });
    }

    function paint() {
      const pixels = book.scenePixels(book.renderScene(scene));
      canvas.getContext("2d").putImageData(new ImageData(pixels, side, side), 0, 0);
      canvas.setAttribute("aria-label", `A picture: ${book.describeScene(scene).words.join(" ")}`);
      const odd = oddities(scene);
      warning.textContent = odd.length ? `Unlike the training pictures: ${odd.join("; ")}.` : "";
    }

    function formFor(item, index) {
      const list = (values) => values.map((value) => [value, value]);
      const set = (name) => (value) => {
        item[name] = value;
        if (name === "size") item.half_size = half(value);
        move(item, item.centre_x, item.centre_y);
      };
      const fields = [
        choice("Size", `size-${index}`, list(Object.keys(book.sceneParts.sizes)), item.size, set("size")),
        choice("Colour", `colour-${index}`, list(parts.colours), item.colour, set("colour")),
        choice("Kind", `kind-${index}`, list(parts.kinds), item.kind, set("kind")),
      ];
      return make("fieldset", { class: "ae-group ae-object" }, make("legend", { text: `Object ${index + 1}` }), fields);
    }

    function drawAll() {
      handles.replaceChildren(...scene.objects.map(handleFor));
      const add = button("Add an object", () => {
        scene.objects.push({
          kind: parts.kinds[scene.objects.length % parts.kinds.length], colour: parts.colours[0], size: "small",
          half_size: half("small"), centre_x: side / 2, centre_y: side / 2, brightness: 1,
        });
        drawAll();
        changed(scene);
      });
      const remove = button("Remove the last", () => {
        scene.objects.pop();
        drawAll();
        changed(scene);
      });
      const buttons = [];
      if (scene.objects.length < most) buttons.push(add);
      if (scene.objects.length > fewest) buttons.push(remove);
      forms.replaceChildren(...scene.objects.map(formFor), make("div", { class: "ae-buttons" }, buttons));
      place();
      paint();
    }

    /** Darken where the model did not look; `around` is the box of the object a word names. */
    function overlay(weights, rows, columns, around) {
      grid.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
      const largest = Math.max(...(weights || [1]));
      grid.replaceChildren(...(weights || []).map((weight) =>
        make("i", { variables: { "--w": (weight / largest).toFixed(3) } })));
      box.hidden = !around;
      if (around) {
        const percent = (value) => `${(value / side) * 100}%`;
        Object.assign(box.style, {
          left: percent(around.left), top: percent(around.top),
          width: percent(around.right - around.left), height: percent(around.bottom - around.top),
        });
      }
      return rows;
    }

    drawAll();
    return { stage, forms, warning, overlay };
  }

  book.makeScene = makeScene;
})((globalThis.attentionBook = globalThis.attentionBook || {}));
