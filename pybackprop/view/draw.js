// The picture: made once, then restyled at every step; and what keys and pointer do.

const tallest = Math.max(...data.layers.map((layer) => layer.shown.length));
// Small networks are drawn larger.
const ROW = Math.max(38, Math.min(76, 420 / tallest)), RADIUS = ROW < 56 ? 16 : 23;
const TOP = 62, LEFT = data.layers[0].names ? 120 : 74, RIGHT = 190;
const GAP = Math.max(120, Math.min(230, (960 - LEFT - RIGHT) / last));
const HEIGHT = TOP + tallest * ROW + 26, WIDTH = LEFT + last * GAP + RIGHT;
const picture = byId("picture");
const neurons = [], edges = [], heads = [];
let costBox;

function make(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

const columnX = (layer) => LEFT + layer * GAP;
function rowY(layer, at) {
  const count = data.layers[layer].shown.length;
  return TOP + ((tallest - count) / 2 + at + 0.5) * ROW;
}

function build() {
  picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  picture.setAttribute("width", WIDTH);
  picture.setAttribute("height", HEIGHT);
  data.layers.forEach((layer, l) => {
    make("rect", { class: "band", x: columnX(l) - RADIUS - 11, y: 6, width: 2 * RADIUS + 22, height: HEIGHT - 12, rx: 10 }, picture);
    heads.push(make("text", { class: "head", x: columnX(l), y: 24 }, picture));
    const count = layer.shown.length < layer.width ? `${layer.shown.length} of ${layer.width}` : `${layer.width}`;
    make("text", { class: "sub", x: columnX(l), y: 40 }, picture, l ? `${layer.act}` : "inputs");
    make("text", { class: "sub", x: columnX(l), y: 54 }, picture, count);
  });
  const wires = make("g", {}, picture), reaches = make("g", {}, picture);
  for (let l = 1; l <= last; l++) buildEdges(l, wires, reaches);
  buildCost();
  data.layers.forEach((layer, l) => neurons.push(layer.shown.map((_, at) => buildNeuron(l, at))));
}

function buildEdges(l, wires, reaches) {
  const above = data.layers[l].shown, below = data.layers[l - 1].shown;
  edges[l] = above.map((_, k) => below.map((_, j) => {
    const ends = {
      x1: columnX(l - 1) + RADIUS + 2, y1: rowY(l - 1, j), x2: columnX(l) - RADIUS - 2, y2: rowY(l, k),
    };
    const reach = make("line", { class: "reach", ...ends }, reaches);
    reach.addEventListener("pointerenter", () => { state.edge = { layer: l, k, j }; refresh(); });
    reach.addEventListener("pointerleave", () => { state.edge = null; refresh(); });
    return make("line", { class: "edge", ...ends }, wires);
  }));
}

function buildNeuron(layer, at) {
  const x = columnX(layer), y = rowY(layer, at);
  const group = make("g", { class: "neuron", role: "button", tabindex: -1, id: `n${layer}-${at}` }, picture);
  const square = (radius) => ({ x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius });
  const ring = make("rect", { class: "ring", ...square(RADIUS + 3) }, group);
  const shape = make("rect", { class: "shape", ...square(RADIUS) }, group);
  const text = make("text", { class: "value", x, y: y + 3.5 }, group);
  const name = data.layers[layer].names ? naming(layer, at) : "", far = RADIUS + 18;
  if (layer === 0) {
    const label = name || `${data.layers[0].shown[at]}`;
    make("text", { class: "side", x: x - far, y: y + 4, "text-anchor": "end" }, group, cut(label, 12));
  }
  if (layer === last && name) make("text", { class: "side", x: x + far, y: y + 4 }, group, cut(name, 10));
  const target = layer === last
    ? make("text", { class: "side", x: x + far + (name ? 70 : 0), y: y + 4 }, group) : null;
  const place = { layer, at };
  group.addEventListener("pointerenter", () => { state.pointed = place; refresh(); });
  group.addEventListener("pointerleave", () => { state.pointed = null; refresh(); });
  group.addEventListener("click", () => choose(place));
  group.addEventListener("focus", () => choose(place));
  return { group, ring, shape, text, target };
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function buildCost() {
  const x = columnX(last) + 112, y = HEIGHT - 34;
  costBox = make("g", { class: "cost" }, picture);
  make("rect", { x: x - 50, y: y - 14, width: 104, height: 28, rx: 8 }, costBox);
  make("text", { x: x + 2, y: y + 4 }, costBox);
}

// Styles of the current step --------------------------------------------------------------------------

function setSign(element, number, strength) {
  element.classList.toggle("plus", number > 0);
  element.classList.toggle("minus", number < 0);
  element.classList.toggle("strong", strength > 0.62);
}

function paintNeurons(layer) {
  const what = quantity(layer), count = data.layers[layer].shown.length;
  const focus = inFocus();
  const numbers = Array.from({ length: count }, (_, at) => (what ? value(layer, at, what) : 0));
  const largest = Math.max(...numbers.map(Math.abs)) || 1;
  const idle = isBackward() && what === "a" && layer < step().layer - 1;
  neurons[layer].forEach(({ group, ring, shape, text, target }, at) => {
    const number = numbers[at], strength = Math.abs(number) / largest;
    setSign(group, what ? number : 0, strength);
    group.classList.toggle("empty", !what);
    group.classList.toggle("idle", idle);
    group.classList.toggle("chosen", focus.layer === layer && focus.at === at);
    shape.setAttribute("rx", number < 0 ? 3 : RADIUS);
    ring.setAttribute("rx", number < 0 ? 6 : RADIUS + 3);
    shape.setAttribute("fill-opacity", number ? (0.1 + 0.9 * strength).toFixed(3) : 1);
    text.textContent = what ? brief(number) : "";
    // Numbers with an exponent, such as −2e−12, get smaller letters.
    const letters = text.textContent.includes("e") ? 0.82 : 1;
    text.style.fontSize = `${(RADIUS < 20 ? 10 : 12.5) * letters}px`;
    group.setAttribute("aria-label", describe(layer, at));
    if (target) paintTarget(target, at);
  });
  const symbol = { a: "a", delta: layer ? "δ" : "∂C/∂a" }[what];
  heads[layer].innerHTML = "";
  make("tspan", { "font-weight": 700 }, heads[layer], symbol || "·");
  if (symbol) make("tspan", { "font-size": 9.5, dy: -5 }, heads[layer], `${layer}`);
}

function paintTarget(text, at) {
  const known = state.step > last;
  text.textContent = known ? `y = ${brief(example().y[at])}` : "";
  text.classList.toggle("hit", known && example().label === data.layers[last].shown[at]);
}

function paintEdges(layer) {
  const forward = !isBackward() && quantity(layer) === "a";
  const backward = isBackward() && quantity(layer) === "delta";
  const number = backward ? (k, j) => gradient(layer, k, j) : (k, j) => weight(layer, k, j);
  const known = forward || isBackward();
  const focus = state.edge ? null : inFocus();
  let largest = 1e-300;
  edges[layer].forEach((row, k) => row.forEach((_, j) => { largest = Math.max(largest, Math.abs(number(k, j))); }));
  const active = step().layer === layer && step().kind !== "cost" || (step().kind === "inputs" && layer === 1);
  edges[layer].forEach((row, k) => row.forEach((edge, j) => {
    const amount = known ? number(k, j) : 0, strength = Math.abs(amount) / largest;
    setSign(edge, amount, 0);
    const lit = focus ? isLit(focus, layer, k, j) : state.edge.layer === layer && state.edge.k === k && state.edge.j === j;
    edge.classList.toggle("lit", known && lit);
    const base = active ? 0.2 : 0.1, most = active ? 0.75 : 0.3;
    edge.style.strokeWidth = known ? (0.5 + 2.6 * strength + (lit ? 0.6 : 0)).toFixed(2) : "";
    edge.style.strokeOpacity = !known ? "" : lit ? (0.35 + 0.65 * strength).toFixed(2) : (base + (most - base) * strength).toFixed(2);
  }));
}

// The edges that the number in focus was computed from: from below, or on the way back from above.
function isLit(focus, layer, k, j) {
  const fromAbove = quantity(focus.layer) === "delta" && focus.layer < last;
  if (fromAbove && focus.layer === layer - 1) return focus.at === j;
  return focus.layer === layer && focus.at === k;
}

function paintTicks() {
  [...byId("ticks").children].forEach((tick, at) => tick.classList.toggle("now", at === state.step));
  const slider = byId("slider");
  slider.value = state.step;
  slider.setAttribute("aria-valuetext", `${state.step + 1} of ${steps.length}: ${byId("step").querySelector("h2").textContent}`);
  byId("back").disabled = state.step === 0;
  byId("on").disabled = state.step === steps.length - 1;
}

// Each part is redrawn by what has changed: pointing at something does not move the walk.
function refresh() {
  data.layers.forEach((_, layer) => paintNeurons(layer));
  for (let l = 1; l <= last; l++) paintEdges(l);
  byId("detail").innerHTML = detail();
}

function render() {
  words();
  refresh();
  paintTicks();
  costBox.style.visibility = state.step > last ? "visible" : "hidden";
  costBox.querySelector("text").textContent = `C = ${Number(example().cost.toPrecision(4))}`.replaceAll("-", "−");
  [...byId("examples").children].forEach((button, at) => {
    button.setAttribute("aria-checked", at === state.example);
    button.tabIndex = at === state.example ? 0 : -1;
  });
  const focus = state.chosen || { layer: step().layer, at: 0 };
  neurons.flat().forEach(({ group }) => group.setAttribute("tabindex", group.id === `n${focus.layer}-${focus.at}` ? 0 : -1));
  // Of a network wider than its frame, the layer of the step comes into the middle.
  const frame = picture.parentElement;
  frame.scrollLeft = columnX(focus.layer) - frame.clientWidth / 2;
  writeAddress();
}

// The address holds where one is, so that a view can be linked to.
function writeAddress() {
  const parts = [`step=${state.step}`, `example=${state.example}`];
  if (state.chosen) parts.push(`neuron=${state.chosen.layer}.${state.chosen.at}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const number = (name, most) => Math.max(0, Math.min(most, Number.parseInt(given.get(name), 10) || 0));
  state.step = number("step", steps.length - 1);
  state.example = number("example", data.examples.length - 1);
  const [layer, at] = (given.get("neuron") || "").split(".").map(Number);
  state.chosen = data.layers[layer] && at in data.layers[layer].shown ? { layer, at } : null;
}

function walk(to) {
  state.step = Math.max(0, Math.min(steps.length - 1, to));
  state.chosen = null;
  render();
}

function choose(place) {
  if (state.chosen && state.chosen.layer === place.layer && state.chosen.at === place.at) return;
  state.chosen = place;
  render();
}

function pick(example, focus) {
  const count = data.examples.length;
  state.example = (example + count) % count;
  render();
  if (focus) byId("examples").children[state.example].focus();
}

// Controls ------------------------------------------------------------------------------------------------

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
  const label = { input: () => "x", forward: (l) => `→ ${l}`, cost: () => "C", backward: (l) => `${l} ←`, inputs: () => "∂C/∂x" };
  const every = Math.ceil(steps.length / 25);
  steps.forEach(({ kind, layer }, at) => {
    const tick = document.createElement("span");
    tick.textContent = at % every === 0 || at === steps.length - 1 ? label[kind](layer) : "";
    tick.addEventListener("click", () => walk(at));
    byId("ticks").append(tick);
  });
}

function neuronKey(event) {
  const place = state.chosen;
  if (!place || !event.target.closest(".neuron")) return false;
  const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const across = event.shiftKey ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : undefined;
  if (!down && !across) return false;
  const layer = Math.max(0, Math.min(last, place.layer + (across || 0)));
  const at = Math.max(0, Math.min(data.layers[layer].shown.length - 1, place.at + (down || 0)));
  neurons[layer][at].group.focus();
  return true;
}

function listen() {
  byId("slider").max = steps.length - 1;
  byId("slider").addEventListener("input", (event) => walk(Number(event.target.value)));
  byId("back").addEventListener("click", () => walk(state.step - 1));
  byId("on").addEventListener("click", () => walk(state.step + 1));
  window.addEventListener("hashchange", () => { readAddress(); render(); });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    let used = neuronKey(event);
    if (!used && !event.shiftKey && event.target.id !== "slider") {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) { walk(state.step + move); used = true; }
    }
    const other = { "[": -1, "]": 1 }[event.key];
    if (other) { pick(state.example + other); used = true; }
    if (used) event.preventDefault();
  });
}

function writeHeader() {
  const layers = data.layers.map(({ width, act }) => `${width}${act ? ` ${act}` : ""}`);
  // Equal layers in a row are counted.
  const runs = layers.filter((layer, at) => layer !== layers[at - 1]);
  let from = 0;
  const parts = runs.map((layer) => {
    let to = from;
    while (layers[to] === layer) to++;
    const count = to - from;
    from = to;
    return count > 2 ? `${count} × ${layer}` : Array(count).fill(layer).join(" → ");
  });
  byId("title").textContent = parts.join(" → ");
  byId("about").textContent = `${data.parameters.toLocaleString("en")} parameters, ${data.dtype}, loss ${data.loss}. ` +
    "One example at a time: the cost is that of the example chosen here.";
  byId("legend").innerHTML = 'Neurons: <span class="swatch round"></span> round and blue above 0, ' +
    '<span class="swatch square"></span> square and orange below 0, empty at 0; the stronger the fill, the larger in its column. ' +
    "Edges: solid above 0, dashed below 0; the thicker, the larger. Going forward they show weights, going back ∂C/∂W.";
}

writeHeader();
buildExamples();
buildTicks();
build();
listen();
readAddress();
render();
