// The picture: made once, then restyled at every step.

const tallest = Math.max(...data.layers.map((layer) => layer.shown.length));
// Small networks are drawn larger.
const ROW = Math.max(38, Math.min(76, 420 / tallest)), RADIUS = ROW < 56 ? 16 : 23;
// On a telephone the layers of a small network stand closer together, so that it needs no scrolling. Among many
// edges a fingertip needs the room.
const IS_CLOSE = NARROW && tallest <= 4;
const TOP = 62, LEFT = data.layers[0].names ? 120 : IS_CLOSE ? 54 : 74, RIGHT = 190;
const GAP = IS_CLOSE ? 90 : Math.max(120, Math.min(230, (960 - LEFT - RIGHT) / last));
const HEIGHT = TOP + tallest * ROW + 26, WIDTH = LEFT + last * GAP + RIGHT;
const picture = byId("picture");
const neurons = [], edges = [], heads = [];
let costBox;

const columnX = (layer) => LEFT + layer * GAP;
function rowY(layer, at) {
  const count = data.layers[layer].shown.length;
  return TOP + ((tallest - count) / 2 + at + 0.5) * ROW;
}

function build() {
  picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  // A frame a little narrower than the picture shrinks it; in a much narrower one it scrolls.
  Object.assign(picture.style, { width: "100%", minWidth: `${0.75 * WIDTH}px`, maxWidth: `${WIDTH}px` });
  data.layers.forEach((layer, l) => {
    make("rect", { class: "band", x: columnX(l) - RADIUS - 11, y: 6, width: 2 * RADIUS + 22, height: HEIGHT - 12, rx: 10 }, picture);
    const head = make("text", { class: "head", x: columnX(l), y: 24 }, picture);
    heads.push(head);
    make("tspan", { "font-weight": 700 }, head);
    make("tspan", { "font-size": 9.5, dy: -5 }, head);
    const count = layer.shown.length < layer.width ? `${layer.shown.length} of ${layer.width}` : `${layer.width}`;
    make("text", { class: "sub", x: columnX(l), y: 40 }, picture, l ? `${layer.act}` : "inputs");
    make("text", { class: "sub", x: columnX(l), y: 54 }, picture, count);
  });
  const wires = make("g", {}, picture);
  for (let l = 1; l <= last; l++) buildEdges(l, wires);
  buildCost();
  data.layers.forEach((layer, l) => neurons.push(layer.shown.map((_, at) => buildNeuron(l, at))));
}

const edgeEnds = (l, k, j) => ({
  x1: columnX(l - 1) + RADIUS + 2, y1: rowY(l - 1, j), x2: columnX(l) - RADIUS - 2, y2: rowY(l, k),
});

function buildEdges(l, wires) {
  const above = data.layers[l].shown, below = data.layers[l - 1].shown;
  edges[l] = above.map((_, k) => below.map((_, j) => {
    const edge = make("line", { class: "edge", tabindex: -1, id: `e${l}-${k}-${j}`, ...edgeEnds(l, k, j) }, wires);
    edge.addEventListener("focus", () => pin({ layer: l, k, j }));
    return edge;
  }));
}

function buildNeuron(layer, at) {
  const x = columnX(layer), y = rowY(layer, at);
  const group = make("g", { class: "neuron", role: "button", tabindex: -1, id: `n${layer}-${at}` }, picture);
  const square = (radius) => ({ x: x - radius, y: y - radius, width: 2 * radius, height: 2 * radius });
  const ring = make("rect", { class: "ring", ...square(RADIUS + 3) }, group);
  const shape = make("rect", { class: "shape", ...square(RADIUS) }, group);
  const text = make("text", { class: RADIUS < 20 ? "value small" : "value", x, y: y + 3.5 }, group);
  const name = data.layers[layer].names ? labels[layer][at] : "", far = RADIUS + 18;
  if (layer === 0) {
    const label = name || `${data.layers[0].shown[at]}`;
    make("text", { class: "side", x: x - far, y: y + 4, "text-anchor": "end" }, group, label);
  }
  if (layer === last && name) make("text", { class: "side", x: x + far, y: y + 4 }, group, name);
  const target = layer === last
    ? make("text", { class: "side", x: x + far + (name ? 70 : 0), y: y + 4 }, group) : null;
  const place = { layer, at };
  group.addEventListener("focus", () => choose(place));
  return { group, ring, shape, text, target };
}

// Names cut to so many letters, at the end or, where that would make two of them the same, in the middle.
function cutApart(names, most) {
  const long = (name) => name.length > most;
  const atEnd = names.map((name) => (long(name) ? `${name.slice(0, most - 1)}…` : name));
  const half = Math.floor((most - 1) / 2);
  const inMiddle = names.map((name) => (long(name) ? `${name.slice(0, most - 1 - half)}…${name.slice(-half)}` : name));
  const repeated = (labels) => (label) => labels.indexOf(label) !== labels.lastIndexOf(label);
  const mixed = atEnd.map((label, at) => (repeated(atEnd)(label) ? inMiddle[at] : label));
  // What is still the same tells by its number.
  return mixed.map((label, at) => (repeated(mixed)(label) && long(names[at]) ? `${names[at].slice(0, most - 4)}…${at}` : label));
}

const labels = data.layers.map(({ names }, layer) => names && cutApart(names, layer ? 10 : 12));

function buildCost() {
  const x = columnX(last) + 112, y = HEIGHT - 34;
  costBox = make("g", { class: "cost" }, picture);
  make("rect", { x: x - 50, y: y - 14, width: 116, height: 28, rx: 8 }, costBox);
  make("text", { x: x + 8, y: y + 4 }, costBox);
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
  const picked = pickedPath(), paths = state.pinned && quantity(state.pinned.layer) === "delta";
  neurons[layer].forEach(({ group, ring, shape, text, target }, at) => {
    const number = numbers[at], strength = Math.abs(number) / largest;
    setSign(group, what ? number : 0, strength);
    group.classList.toggle("empty", !what);
    group.classList.toggle("idle", idle);
    group.classList.toggle("chosen", isEnd(focus, layer, at));
    group.classList.toggle("on-path", Boolean(paths) && isUnitOnPath(state.pinned, picked, layer, at));
    setAttribute(shape, "rx", number < 0 ? 3 : RADIUS);
    setAttribute(ring, "rx", number < 0 ? 6 : RADIUS + 3);
    setAttribute(shape, "fill-opacity", number ? (0.1 + 0.9 * strength).toFixed(3) : 1);
    const label = what ? brief(number) : "";
    setText(text, label);
    // Numbers with an exponent, such as −2e−12, get smaller letters.
    text.classList.toggle("long", label.includes("e"));
    setAttribute(group, "aria-label", describe(layer, at));
    if (target) paintTarget(target, at);
  });
  const symbol = { a: "a", delta: layer ? "δ" : "∂C/∂a" }[what];
  const [name, index] = heads[layer].children;
  setText(name, symbol || "·");
  setText(index, symbol ? `${layer}` : "");
}

// Whether a neuron is the one in focus, or an end of the weight in focus.
function isEnd(focus, layer, at) {
  if (!isEdge(focus)) return focus.layer === layer && focus.at === at;
  return (focus.layer === layer && focus.k === at) || (focus.layer - 1 === layer && focus.j === at);
}

function paintTarget(text, at) {
  const known = state.step > last;
  setText(text, known ? `y = ${brief(example().y[at])}` : "");
  text.classList.toggle("hit", known && example().label === data.layers[last].shown[at]);
}

function paintEdges(layer) {
  const forward = !isBackward() && quantity(layer) === "a";
  const backward = isBackward() && quantity(layer) === "delta";
  const signal = (k, j) => weight(layer, k, j) * value(layer, k, "delta");
  const back = state.edges === "signal" ? signal : (k, j) => gradient(layer, k, j);
  const number = backward ? back : (k, j) => weight(layer, k, j);
  const known = forward || isBackward();
  const focus = inFocus(), picked = pickedPath(), paths = state.pinned && quantity(state.pinned.layer) === "delta";
  let largest = 1e-300;
  edges[layer].forEach((row, k) => row.forEach((_, j) => { largest = Math.max(largest, Math.abs(number(k, j))); }));
  const active = step().layer === layer && step().kind !== "cost" || (step().kind === "inputs" && layer === 1);
  edges[layer].forEach((row, k) => row.forEach((edge, j) => {
    const amount = known ? number(k, j) : 0, strength = Math.abs(amount) / largest;
    const lit = isLit(focus, layer, k, j), pinned = state.pinned !== null && lit;
    const base = active ? 0.2 : 0.1, most = active ? 0.75 : 0.3;
    paintEdge(edge, amount, {
      lit: known && lit, pinned, path: Boolean(paths) && isOnPath(state.pinned, picked, layer, k, j),
      width: known && !pinned ? (0.5 + 2.6 * strength + (lit ? 0.6 : 0)).toFixed(2) : "",
      opacity: !known || pinned ? "" : lit ? (0.35 + 0.65 * strength).toFixed(2) : (base + (most - base) * strength).toFixed(2),
    });
  }));
}

// There are hundreds of edges, most of which stay as they are from step to step.
function paintEdge(edge, amount, { lit, pinned, path, width, opacity }) {
  const sign = amount > 0 ? " plus" : amount < 0 ? " minus" : "";
  setAttribute(edge, "class", `edge${sign}${lit ? " lit" : ""}${pinned ? " pinned" : ""}${path ? " on-path" : ""}`);
  setAttribute(edge, "style", `${width && `stroke-width: ${width};`}${opacity && `stroke-opacity: ${opacity}`}`);
}

// The one of the pinned weight's paths that is to be seen alone.
function pickedPath() {
  const { pinned, path } = state;
  if (!pinned || path === null || quantity(pinned.layer) !== "delta") return null;
  return pathsFrom(pinned.layer, pinned.k)[path] || null;
}

// The edge in focus, or those that the number in focus was computed from: from below, or on the way
// back from above.
function isLit(focus, layer, k, j) {
  if (isEdge(focus)) return focus.layer === layer && focus.k === k && focus.j === j;
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
  const button = byId("release");
  if (button) button.addEventListener("click", () => release());
  for (const each of byId("detail").querySelectorAll(".path")) each.addEventListener("click", () => pickPath(Number(each.dataset.path)));
  if (state.pinned) labelEdge(state.pinned);
  paintMatrices();
}

// A path alone, or again all of them.
function pickPath(at) {
  state.path = state.path === at ? null : at;
  refresh();
  byId("detail").querySelector(`[data-path="${at}"]`).focus({ preventScroll: true });
}

function labelEdge({ layer, k, j }) {
  edges[layer][k][j].setAttribute("role", "button");
  edges[layer][k][j].setAttribute("aria-label", describeEdge({ layer, k, j }));
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
  neurons.flat().forEach(({ group }) => setAttribute(group, "tabindex", group.id === `n${focus.layer}-${focus.at}` ? 0 : -1));
  paintTune();
  paintEdgeChoice();
  writeAddress();
}

// Of a network wider than its frame, bring the layer of the step into the middle, unless it is in
// view. Choosing never scrolls: what was clicked would move away from under the mouse.
function reveal(layer) {
  const frame = picture.parentElement, scale = picture.getBoundingClientRect().width / WIDTH;
  const x = columnX(layer) * scale, margin = (RADIUS + 11) * scale;
  // The cost stands beside the outputs.
  const right = step().kind === "cost" ? (columnX(last) + 180) * scale : x + margin;
  const shown = x - margin >= frame.scrollLeft && right <= frame.scrollLeft + frame.clientWidth;
  if (!shown) frame.scrollLeft = x - frame.clientWidth / 2;
}

// What the address keeps of the walk.
function addressOfWalk() {
  const parts = [`step=${state.step}`, `example=${state.example}`];
  if (state.edges !== "gradient") parts.push(`edges=${state.edges}`);
  if (state.pinned) parts.push(`weight=${state.pinned.layer}.${state.pinned.k}.${state.pinned.j}`);
  else if (state.chosen) parts.push(`neuron=${state.chosen.layer}.${state.chosen.at}`);
  return parts;
}

function readWalk(given) {
  const number = (name, most) => Math.max(0, Math.min(most, Number.parseInt(given.get(name), 10) || 0));
  state.step = number("step", steps.length - 1);
  const example = number("example", data.examples.length - 1);
  if (example !== state.example) live.inputs.clear();  // they were those of the other example
  state.example = example;
  state.edges = given.get("edges") === "signal" ? "signal" : "gradient";
  const [layer, at] = (given.get("neuron") || "").split(".").map(Number);
  state.chosen = data.layers[layer] && at in data.layers[layer].shown ? { layer, at } : null;
  const [l, k, j] = (given.get("weight") || "").split(".").map(Number);
  state.pinned = edges[l] && edges[l][k] && edges[l][k][j] ? { layer: l, k, j } : null;
  state.pointed = state.path = null;
  recompute();
}

// A pinned weight stays from step to step, so that one can see its numbers come up.
function walk(to) {
  state.step = Math.max(0, Math.min(steps.length - 1, to));
  state.chosen = state.pointed = null;
  render();
  reveal(step().layer);
}

function choose(place) {
  if (isSame(place, state.chosen) && !state.pointed && !state.pinned) return;
  state.pointed = state.pinned = null;
  state.chosen = place;
  render();
}

function pin(place) {
  if (isSame(place, state.pinned) && !state.pointed) return;
  state.pointed = state.path = null;
  state.pinned = place;
  render();
}

function release() {
  const { layer, k } = state.pinned;
  state.pinned = null;
  // A key that comes next is for the neuron that the weight belongs to.
  if (document.activeElement.closest(".edge, #detail")) neurons[layer][k].group.focus({ preventScroll: true });
  render();
}

function pick(example, focus) {
  const count = data.examples.length;
  state.example = (example + count) % count;
  live.inputs.clear();  // they were those of the other example
  recompute();
  render();
  if (focus) byId("examples").children[state.example].focus();
}
