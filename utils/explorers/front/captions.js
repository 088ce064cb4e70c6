// The caption explorer: compose a scene, read the model's caption, see where it looked.
(function (book) {
  "use strict";
  const { make, show, choice } = book.ui;

  /** The box of an object in pixels. */
  const boxOf = ({ centre_x: x, centre_y: y, half_size: r }) =>
    ({ left: x - r, top: y - r, right: x + r, bottom: y + r });

  /** The share of the weights that lies in a box, each weight spread evenly over its cell. */
  function massInBox(weights, { left, top, right, bottom }, rows, columns, side) {
    const overlap = (low, high, start, size) =>
      Math.max(0, Math.min(start + size, high) - Math.max(start, low)) / size;
    const [height, width] = [side / rows, side / columns];
    return weights.reduce((total, weight, place) => {
      const [row, column] = [Math.floor(place / columns), place % columns];
      const share = overlap(left, right, column * width, width) * overlap(top, bottom, row * height, height);
      return total + weight * share;
    }, 0);
  }

  function weightTable(weights, rows, columns) {
    const cell = (row, column) => {
      const weight = weights[row * columns + column];
      return make("td", { text: show(weight), "data-weight": weight.toFixed(6), variables: { "--w": weight.toFixed(4) } });
    };
    return make("table", { class: "ae-matrix ae-cells", "aria-label": "Attention weights" },
      make("caption", { text: "Attention weights, cell by cell" }),
      make("tbody", {}, Array.from({ length: rows }, (_, row) =>
        make("tr", {}, Array.from({ length: columns }, (_, column) => cell(row, column))))));
  }

  function mountCaptions(host, setup, connection) {
    const { models, examples, options: parts } = setup;
    let model = models[0].name;
    let scene = null;
    let answer = null;
    let chosen = 0;
    let composer = null;

    const picture = make("div", { class: "ae-compose" });
    const words = make("p", { class: "ae-caption-words" });
    const right = make("p", { class: "ae-note ae-right" });
    const region = make("div", { class: "ae-translation", role: "region", "aria-label": "Caption", "aria-live": "polite" },
      make("p", { class: "ae-model" }), words, right);
    const message = make("div", { class: "ae-message", role: "status" });
    book.watchSilence(connection, message);
    const numbers = make("div", { class: "ae-caption-numbers" });
    const example = choice("Picture", "scene",
      [["", "your own picture"], ...examples.map((_, index) => [String(index), `picture ${index + 1}`])], "0",
      (index) => { if (index !== "") open(Number(index)); });
    const choices = [example];
    if (models.length > 1) {
      choices.push(choice("Model", "model", models.map(({ name, title }) => [name, title]), model, (name) => {
        model = name;
        run();
      }));
    }

    function open(index, shown = null) {
      scene = JSON.parse(JSON.stringify(examples[index].scene));
      composer = book.makeScene(scene, parts, () => {
        example.querySelector("select").value = "";
        run();
      });
      picture.replaceChildren(
        make("div", { class: "ae-picture-side" }, composer.stage, composer.warning), composer.forms);
      if (shown) draw(shown);
      else run();
    }

    // While one caption is awaited only the newest picture waits behind it.
    let busy = false;
    let waiting = false;

    async function run() {
      waiting = true;
      if (busy) return;
      busy = true;
      region.setAttribute("aria-busy", "true");
      try {
        while (waiting) {
          waiting = false;
          draw(await connection.ask(model, { scene }));
        }
        message.replaceChildren();
        message.classList.remove("ae-error");
        message.setAttribute("role", "status");
      } catch (error) {
        message.textContent = error.message;
        message.classList.add("ae-error");
        message.setAttribute("role", "alert");
      } finally {
        busy = false;
        region.removeAttribute("aria-busy");
      }
    }

    function draw(next) {
      answer = next;
      const { steps } = answer.result;
      chosen = Math.min(chosen, steps.length - 1);
      const described = book.describeScene(scene);
      region.firstChild.textContent = models.find(({ name }) => name === model).title;
      words.replaceChildren(...steps.flatMap((step, index) => [
        make("button", {
          type: "button", class: "ae-caption-word", text: step.word, "data-step": index,
          on: { click: () => choose(index), focus: () => choose(index), pointerenter: () => choose(index) },
        }), " ",
      ]));
      const same = described.words.join(" ") === answer.result.words.join(" ");
      right.textContent = same ? "This is the right caption." : `The right caption: ${described.words.join(" ")}`;
      choose(chosen);
    }

    function choose(index) {
      chosen = index;
      const { steps } = answer.result;
      const step = steps[index];
      const { rows, columns } = answer.grid;
      const weights = Array.from(step.weights || []);
      const described = book.describeScene(scene);
      const same = described.words.join(" ") === answer.result.words.join(" ");
      const object = same && index < described.words.length ? described.wordObjects[index] : null;
      const box = object === null ? null : boxOf(described.ordered[object]);
      composer.overlay(weights.length ? weights : null, rows, columns, box);
      for (const word of words.children) word.classList.toggle("ae-in-row", Number(word.dataset.step) === index);
      const notes = [`“${step.word}”, probability ${show(step.probability, 4)}`];
      if (step.gate !== null && step.gate !== undefined) notes.push(`gate β = ${show(step.gate, 4)}`);
      if (box && weights.length) {
        notes.push(`${show(massInBox(weights, box, rows, columns, scene.image_size || 64))} of the weight lies in the box of its object`);
      }
      if (!weights.length) notes.push("this model sees only the mean of all cells");
      const open = numbers.querySelector("details")?.open;
      numbers.replaceChildren(make("p", { class: "ae-step-title", text: notes.join("; ") }));
      if (weights.length) {
        numbers.append(make("details", { class: "ae-details", open: Boolean(open) },
          make("summary", { text: "The numbers" }), weightTable(weights, rows, columns)));
      }
    }

    host.replaceChildren(
      make("div", { class: "ae-controls" }, make("div", { class: "ae-choices" }, choices)),
      message, region, picture, numbers,
    );
    open(0, setup.shown);
  }

  book.explorers = { ...book.explorers, captions: mountCaptions };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
