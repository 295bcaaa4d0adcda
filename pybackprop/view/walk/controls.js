// The controls around the picture: examples, steps, and what edges show.

function buildExamples() {
  const outputs = data.layers[last];
  const name = (index) => {
    const at = outputs.shown.indexOf(index);
    return outputs.names && at >= 0 ? outputs.names[at] : `${index}`;
  };
  data.examples.forEach((one, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    if (one.image) button.append(thumbnail(one.image));
    const words = document.createElement("span");
    const title = document.createElement("b");
    title.textContent = one.label === null ? `example ${at}` : `${name(one.label)}`;
    const verdict = one.label === null ? "" : one.best === one.label ? "✓ right, " : `✗ as ${name(one.best)}, `;
    words.append(title, `${verdict}C ${brief(one.cost)}`);
    button.append(words);
    button.addEventListener("click", () => pick(at));
    byId("examples").append(button);
  });
  byId("examples").addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    pick(state.example + move, true);
  });
}

function thumbnail(levels) {
  const [height, width] = data.imageShape;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  levels.forEach((level, at) => image.data.set([level, level, level, 255], 4 * at));
  context.putImageData(image, 0, 0);
  return canvas;
}

function buildTicks() {
  steps.forEach((_, at) => {
    const tick = document.createElement("span");
    tick.addEventListener("click", () => walk(at));
    byId("ticks").append(tick);
  });
  new ResizeObserver(labelTicks).observe(byId("ticks"));
}

// As many steps are labelled as there is room for. The last one ends at the edge, so its label
// reaches as far to the left as two others.
function labelTicks() {
  const label = { input: () => "x", forward: (l) => `→ ${l}`, cost: () => "C", backward: (l) => `${l} ←`, inputs: () => "∂C/∂x" };
  const room = byId("ticks").clientWidth / (steps.length - 1), end = steps.length - 1;
  const every = Math.max(1, Math.ceil(34 / room));
  [...byId("ticks").children].forEach((tick, at) => {
    const fits = at % every === 0 && (end - at) * room >= 62;
    tick.textContent = fits || at === end ? label[steps[at].kind](steps[at].layer) : "";
  });
}

function writeLegend() {
  byId("legend").innerHTML = 'Neurons: <span class="swatch round"></span> round and blue above 0, ' +
    '<span class="swatch square"></span> square and orange below 0, empty at 0; the stronger the fill, the larger in its column. ' +
    "Edges: solid above 0, dashed below 0; the thicker, the larger. Going forward they show weights.";
}

function buildEdgeChoice() {
  for (const radio of document.querySelectorAll("[name=edges]")) {
    radio.addEventListener("change", () => {
      state.edges = radio.value;
      render();
    });
  }
}

const paintEdgeChoice = () => { document.querySelector(`[name=edges][value=${state.edges}]`).checked = true; };
