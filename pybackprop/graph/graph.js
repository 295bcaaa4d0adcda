// The graph step by step: values node by node, then gradients edge by edge; zoom; and a node's paths.
"use strict";

const byId = (id) => document.getElementById(id);
const picture = byId("picture"), svg = picture.querySelector("svg");
// Cards and curves stand in the picture in the order of the data.
const cards = [...svg.querySelectorAll(".pg-card")];
const curves = [...cards[0].parentElement.children].filter((each) => each.matches("path.pg-edge"));
const size = { width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
const state = { step: 0, scale: 1, chosen: null, path: null };

// Steps: the leaves, each gate, then the seed and each edge on the way back --------------------------------

const steps = [{ kind: "leaves" }];
data.nodes.forEach((node, at) => { if (!node.leaf) steps.push({ kind: "forward", at }); });
if (data.gradients) {
  steps.push({ kind: "seed" });
  for (let at = data.nodes.length - 1; at >= 0; at--) {
    for (const edge of data.nodes[at].edges) if (edge.gradient !== null) steps.push({ kind: "backward", at, edge });
  }
}

// When each number comes up: the step of its value, and of its gradient.
const valueStep = data.nodes.map((node, at) => (node.leaf ? 0 : steps.findIndex((step) => step.kind === "forward" && step.at === at)));
const seedStep = steps.findIndex((step) => step.kind === "seed");
const edgeStep = new Map(steps.flatMap((step, at) => (step.edge ? [[step.edge.card, at]] : [])));
// The sum over a node's uses is known when the last of them has come back.
const totalStep = data.nodes.map((_, at) =>
  Math.max(seedStep, ...steps.map((step, number) => (step.edge && step.edge.node === at ? number : -1))));

function cardSteps(card) {
  const { kind, node } = data.cards[card];
  const own = kind === "edge" ? (edgeStep.has(card) ? edgeStep.get(card) : seedStep) : totalStep[node];
  return { value: valueStep[node], gradient: own };
}

function words() {
  const step = steps[state.step], node = data.nodes[step.at];
  if (step.kind === "leaves") {
    return `Given: ${data.nodes.filter(({ leaf }) => leaf).map(({ name, value }) => `${name} = ${value}`).join(", ")}.`;
  }
  if (step.kind === "forward") return `Forward: ${node.name} = ${node.expression} = ${node.value}`;
  const root = data.nodes.at(-1).name;
  if (step.kind === "seed") return `Backward: the gradient starts as d${root}/d${root} = ${data.nodes.at(-1).gradient}`;
  return `Backward: ${step.edge.derivative}; along this edge d${root}/d${node.name} = ${node.gradient} becomes ${step.edge.gradient}`;
}

// Cards of the current step.
function currentCards() {
  const step = steps[state.step];
  if (step.kind === "leaves") return [];
  if (step.kind === "forward") return [data.nodes[step.at].card];
  return step.kind === "seed" ? [data.nodes.at(-1).card] : [step.edge.card];
}

function render() {
  byId("words").textContent = words();
  byId("slider").value = state.step;
  byId("slider").setAttribute("aria-valuetext", `${state.step + 1} of ${steps.length}: ${words()}`);
  for (const id of ["first", "back"]) byId(id).disabled = state.step === 0;
  for (const id of ["on", "end"]) byId(id).disabled = state.step === steps.length - 1;
  const now = currentCards();
  cards.forEach((card, at) => {
    const known = cardSteps(at);
    card.classList.toggle("now", now.includes(at));
    for (const text of card.querySelectorAll(".pg-value")) text.classList.toggle("unknown", state.step < known.value);
    for (const text of card.querySelectorAll(".pg-grad")) text.classList.toggle("unknown", state.step < known.gradient);
  });
}

function walk(to) {
  state.step = Math.max(0, Math.min(steps.length - 1, to));
  render();
  const [card] = currentCards();
  if (card !== undefined) reveal(cards[card]);
}

// Bring a card into the frame, and leave the page where it is.
function reveal(card) {
  const box = card.getBoundingClientRect(), frame = picture.getBoundingClientRect();
  if (box.left < frame.left || box.right > frame.right) picture.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
  if (box.top < frame.top || box.bottom > frame.bottom) picture.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
}

// Zoom -----------------------------------------------------------------------------------------------------

const fitting = () => Math.min(1, picture.clientWidth / size.width);

// What is in the middle of the frame stays there.
function zoom(scale) {
  const middle = [picture.scrollLeft + picture.clientWidth / 2, picture.scrollTop + picture.clientHeight / 2];
  const ratio = scale / state.scale;
  state.scale = scale;
  svg.setAttribute("width", size.width * scale);
  svg.setAttribute("height", size.height * scale);
  picture.scrollLeft = middle[0] * ratio - picture.clientWidth / 2;
  picture.scrollTop = middle[1] * ratio - picture.clientHeight / 2;
  byId("scale").textContent = `${Math.round(100 * scale)} %`;
}

const zoomBy = (factor) => zoom(Math.max(0.05, Math.min(4, state.scale * factor)));

// Paths ----------------------------------------------------------------------------------------------------

// All nodes and edges on any path from a node to the result.
function above(start) {
  const nodes = new Set([start]), parts = new Set();
  data.nodes.forEach((node, at) => {
    for (const edge of node.edges) {
      if (!nodes.has(edge.node)) continue;
      nodes.add(at);
      parts.add(edge.card);
    }
  });
  return { nodes, parts };
}

// Those of one path, which names its nodes from the result down.
function along(path) {
  const nodes = new Set(path.nodes.map((name) => data.nodes.findIndex((node) => node.name === name)));
  const parts = new Set();
  for (const at of nodes) for (const edge of data.nodes[at].edges) if (nodes.has(edge.node) && isStep(path, at, edge)) parts.add(edge.card);
  return { nodes, parts };
}

function isStep(path, at, edge) {
  const place = path.nodes.indexOf(data.nodes[at].name);
  return path.nodes[place + 1] === data.nodes[edge.node].name;
}

function choose(node) {
  state.chosen = node;
  state.path = null;
  paintPaths();
}

function paintPaths() {
  const box = byId("paths"), { chosen, path } = state;
  box.hidden = chosen === null;
  const explained = chosen === null ? null : data.nodes[chosen].paths;
  const lit = chosen === null ? null : path === null ? above(chosen) : along(explained.paths[path]);
  cards.forEach((card, at) => card.classList.toggle("away", lit !== null && !isLit(at, lit)));
  curves.forEach((curve, at) => {
    const gone = lit !== null && !data.edges[at].every((card) => isLit(card, lit));
    curve.classList.toggle("away", gone);
    // Its arrow head, if it has one, stands right behind it.
    const arrow = curve.nextElementSibling;
    if (arrow && arrow.matches("polygon")) arrow.classList.toggle("away", gone);
  });
  if (chosen !== null) writePaths(box, explained);
}

// A number belongs to the paths if its edge does; that of the result always.
function isLit(card, { nodes, parts }) {
  const { kind, node } = data.cards[card];
  if (kind !== "edge") return nodes.has(node);
  return parts.has(card) || (node === data.nodes.length - 1 && !edgeStep.has(card));
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function writePaths(box, explained) {
  const node = data.nodes[state.chosen], root = data.nodes.at(-1).name;
  const count = explained ? explained.count : 0, noun = count === 1 ? "path" : "paths";
  const list = document.createElement("ol");
  (explained ? explained.paths : []).forEach((path, at) => {
    const button = element("button", `${path.nodes.join(" → ")}:  ${path.product}`, "path");
    button.type = "button";
    button.setAttribute("aria-pressed", state.path === at);
    button.addEventListener("click", () => {
      state.path = state.path === at ? null : at;
      paintPaths();
      byId("paths").querySelectorAll(".path")[at].focus({ preventScroll: true });
    });
    const item = document.createElement("li");
    item.append(button);
    list.append(item);
  });
  const left = count - list.children.length;
  box.replaceChildren(
    element("h2", explained ? `d${root}/d${node.name} = ${explained.gradient}: ${count} ${noun}` : `${node.name} = ${node.expression}`),
    list, element("p", left > 0 ? `${left} more paths; the sum includes them.` : "", "note"));
}

// Pointer and keys -----------------------------------------------------------------------------------------

function nodeOf(target) {
  const card = target.closest(".pg-card[role]");
  return card ? data.cards[cards.indexOf(card)].node : null;
}

function toggle(node) {
  choose(node === state.chosen ? null : node);
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const onSlider = event.target.id === "slider", node = nodeOf(event.target);
  const keys = {
    ArrowLeft: () => walk(state.step - 1), ArrowRight: () => walk(state.step + 1),
    Home: () => walk(0), End: () => walk(steps.length - 1),
    0: () => zoom(fitting()), "+": () => zoomBy(1.25), "-": () => zoomBy(0.8), Escape: () => choose(null),
  };
  if (!onSlider && keys[event.key]) keys[event.key]();
  else if (node !== null && (event.key === "Enter" || event.key === " ")) toggle(node);
  else return;
  event.preventDefault();
}

function listen() {
  const clicks = {
    first: () => walk(0), back: () => walk(state.step - 1), on: () => walk(state.step + 1), end: () => walk(steps.length - 1),
    fit: () => zoom(fitting()), smaller: () => zoomBy(0.8), larger: () => zoomBy(1.25),
  };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
  byId("slider").addEventListener("input", (event) => walk(Number(event.target.value)));
  svg.addEventListener("click", (event) => {
    const node = nodeOf(event.target);
    if (node === null) choose(null);
    else toggle(node);
  });
  document.addEventListener("keydown", onKey);
}

for (const node of data.nodes) {
  const card = cards[node.card];
  for (const [name, value] of Object.entries({ tabindex: 0, role: "button", "aria-label": `${node.name} = ${node.value}` })) card.setAttribute(name, value);
}
byId("slider").max = steps.length - 1;
listen();
// All is shown at first; a picture that is a little too wide is shrunk, but not until nothing can be read.
state.step = steps.length - 1;
zoom(Math.max(0.8, fitting()));
render();
