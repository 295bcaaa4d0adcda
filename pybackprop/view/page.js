// The walk: which step the page is at, what is known then, and the words and numbers beside it.
"use strict";

const last = data.layers.length - 1;
const steps = [{ kind: "input", layer: 0 }];
for (let l = 1; l <= last; l++) steps.push({ kind: "forward", layer: l });
steps.push({ kind: "cost", layer: last });
for (let l = last; l >= 1; l--) steps.push({ kind: "backward", layer: l });
steps.push({ kind: "inputs", layer: 0 });

const state = { step: 0, example: 0, chosen: null, pointed: null, edge: null };
const byId = (id) => document.getElementById(id);

function exact(value) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e7)
    ? value.toExponential(5) : String(Number(value.toPrecision(6)));
  return text.replaceAll("-", "−");
}

function brief(value) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−").replace("Infinity", "∞");
  const size = Math.abs(value);
  let text = String(value);
  if (Number.isInteger(value) && size < 1e4) return text.replace("-", "−");
  if (size >= 9999.5 || size < 0.005) text = value.toExponential(0).replace("e+", "e");
  else if (size >= 99.5) text = value.toFixed(0);
  else if (size >= 9.95) text = value.toFixed(1);
  else text = value.toFixed(2);
  return text.replaceAll("-", "−");
}

const example = () => data.examples[state.example];
const step = () => steps[state.step];
const isBackward = () => state.step > last + 1;

// Which quantity a layer shows at this step: "a", "delta", or null while it is not yet computed.
function quantity(layer) {
  const now = step();
  if (!isBackward()) return now.kind === "cost" || layer <= now.layer ? "a" : null;
  return layer >= now.layer ? "delta" : "a";
}

function value(layer, at, what) {
  const now = example();
  if (what === "a") return now.a[layer][at];
  return layer === 0 ? now.pulled[0][at] : now.delta[layer][at];
}

const weight = (layer, k, j) => data.weights[layer - 1].W[k][j];

// dC/dW of layer l from its neuron k to neuron j below: delta a^T and the derivative of the penalties.
function gradient(layer, k, j) {
  const w = weight(layer, k, j);
  return example().delta[layer][k] * example().a[layer - 1][j] + data.l2 * w + data.l1 * Math.sign(w);
}

// Formulas ------------------------------------------------------------------------------------------

const vector = (name, l) => `<b>${name}</b><sup>${l}</sup>`;
const matrix = (name, l, transposed) =>
  transposed ? `(<b>${name}</b><sup>${l}</sup>)<sup>T</sup>` : `<b>${name}</b><sup>${l}</sup>`;
const partial = (below) => `∂<i>C</i>/∂${below}`;
const activation = (l) => data.layers[l].act;
const size = (l) => data.layers[l].width;

const LOSSES = {
  mse: "<i>C</i> = 1/<i>n</i> Σ (<i>a</i> − <i>y</i>)²",
  squared_error: "<i>C</i> = Σ (<i>a</i> − <i>y</i>)²",
  mae: "<i>C</i> = 1/<i>n</i> Σ |<i>a</i> − <i>y</i>|",
  huber: "<i>C</i> = 1/<i>n</i> Σ huber(<i>a</i> − <i>y</i>)",
  cross_entropy: "<i>C</i> = −Σ <i>y</i> log <i>a</i>",
  binary_cross_entropy: "<i>C</i> = −1/<i>n</i> Σ [<i>y</i> log <i>a</i> + (1 − <i>y</i>) log(1 − <i>a</i>)]",
  custom: "<i>C</i> = loss(<i>a</i>, <i>y</i>)",
};

function outputDelta() {
  const error = `${vector("a", last)} − <b>y</b>`;
  if (data.loss === "cross_entropy") return error;
  if (data.loss === "binary_cross_entropy") return `(${error}) / <i>n</i>`;
  if (activation(last) === "softmax") return `softmax′(${vector("z", last)}) ${partial(vector("a", last))}`;
  const slope = `${activation(last)}′(${vector("z", last)}) ∘ `;
  const derivative = {
    mse: `2 (${error}) / <i>n</i>`, squared_error: `2 (${error})`, mae: `sign(${error}) / <i>n</i>`,
    huber: `clip(${error}, ±1) / <i>n</i>`,
  }[data.loss];
  return slope + (derivative || partial(vector("a", last)));
}

function penalty(l) {
  const parts = [];
  if (data.l2) parts.push(` + ${exact(data.l2)} ${matrix("W", l)}`);
  if (data.l1) parts.push(` + ${exact(data.l1)} sign ${matrix("W", l)}`);
  return parts.join("");
}

function words() {
  const { kind, layer: l } = step();
  const formulas = [];
  let heading = "", text = "", sizes = "";
  if (kind === "input") {
    heading = "The inputs";
    formulas.push(`${vector("a", 0)} = ${data.scaled ? "(<b>x</b> − shift) ∘ scale" : "<b>x</b>"}`);
    text = "The forward pass starts from the numbers of one example.";
    sizes = `a⁰: ${size(0)}`;
  } else if (kind === "forward") {
    heading = `Forward, layer ${l} of ${last}`;
    formulas.push(`${vector("z", l)} = ${matrix("W", l)} ${vector("a", l - 1)} + ${vector("b", l)}`);
    formulas.push(`${vector("a", l)} = ${activation(l)}(${vector("z", l)})`);
    text = "Each neuron adds up what comes in, times the weights, and its bias; then its activation bends the sum.";
    sizes = `W: ${size(l)} × ${size(l - 1)}, z and a: ${size(l)}`;
  } else if (kind === "cost") {
    heading = "The cost";
    formulas.push(LOSSES[data.loss] + (data.l1 || data.l2 ? " + penalties" : ""));
    formulas.push(`<i>C</i> = <span id="cost">${exact(example().cost)}</span>`);
    text = "One number says how far the outputs are from the targets. From here the derivatives flow back.";
    sizes = `n = ${size(last)} outputs`;
  } else if (kind === "backward") {
    heading = `Backward, layer ${l} of ${last}`;
    const incoming = `${activation(l)}′(${vector("z", l)}) ∘ ${matrix("W", l + 1, true)} ${vector("δ", l + 1)}`;
    formulas.push(`${vector("δ", l)} = ${l === last ? outputDelta() : incoming}`);
    formulas.push(`${partial(matrix("W", l))} = ${vector("δ", l)} (${vector("a", l - 1)})<sup>T</sup>${penalty(l)}`);
    formulas.push(`${partial(vector("b", l))} = ${vector("δ", l)}`);
    text = l === last
      ? "δ = ∂C/∂z says how the cost changes with each sum of the output layer; with the activations below it gives the gradient of the weights."
      : "Each neuron gathers the δ of the layer above through the same weights, times its own slope.";
    sizes = `δ: ${size(l)}, ∂C/∂W: ${size(l)} × ${size(l - 1)}`;
  } else {
    heading = "Back at the inputs";
    formulas.push(`${partial(vector("a", 0))} = ${matrix("W", 1, true)} ${vector("δ", 1)}`);
    text = "How the cost would change with each input: the end of the backward pass.";
    sizes = `∂C/∂a⁰: ${size(0)}`;
  }
  byId("step").innerHTML = `<h2>${heading}</h2>` +
    formulas.map((f) => `<p class="formula">${f}</p>`).join("") +
    `<p>${text}</p><p class="sizes">${sizes}</p>${wholeLayer(l)}`;
}

function wholeLayer(l) {
  const { width, shown } = data.layers[l];
  const what = quantity(l);
  const whole = what === "a" ? example().whole[l] : example().wholeDelta[l];
  const sampled = shown.length < width
    ? `<strong>${shown.length} of ${width.toLocaleString("en")} neurons drawn</strong>, evenly spaced. ` : "";
  return `<p class="note">${sampled}Whole layer: norm ${exact(whole.norm)}, from ${exact(whole.least)} to ` +
    `${exact(whole.most)}, ${whole.zeros} of ${width} exactly 0.</p>`;
}

// Numbers of one neuron or edge ---------------------------------------------------------------------

const naming = (layer, at) => {
  const { shown, names } = data.layers[layer];
  return names ? `${names[at]}` : `${shown[at]}`;
};

// Until something is chosen, the panel follows the neuron that stands out most in the layer of the step.
function inFocus() {
  if (state.pointed || state.chosen) return state.pointed || state.chosen;
  const l = step().layer;
  const sizes = data.layers[l].shown.map((_, at) => Math.abs(value(l, at, quantity(l))));
  return { layer: l, at: Math.max(0, sizes.indexOf(Math.max(...sizes))) };
}

// The computed numbers of a neuron at this step, as [name, value, how].
function known(layer, at) {
  const now = example(), what = quantity(layer), rows = [];
  if (what === null) return rows;
  if (layer > 0) rows.push([`z`, now.z[layer][at], "Σ w a + b"]);
  rows.push(["a", now.a[layer][at], layer ? `${activation(layer)}(z)` : "input"]);
  if (layer === last && state.step > last) rows.push(["y", now.y[at], "target"]);
  if (what !== "delta") return rows;
  if (layer === 0) return [...rows, ["∂C/∂a", now.pulled[0][at], "Σ w δ"]];
  const slope = now.slope[layer], pulled = now.pulled[layer];
  if (slope) rows.push([`${activation(layer)}′(z)`, slope[at], "slope"]);
  if (pulled) rows.push(["∂C/∂a", pulled[at], layer < last ? "Σ w δ from above" : "from the loss"]);
  rows.push(["δ", now.delta[layer][at], pulled && slope ? "slope · ∂C/∂a = ∂C/∂z" : "∂C/∂z"]);
  rows.push(["∂C/∂b", now.delta[layer][at], "δ"]);
  return rows;
}

function describe(layer, at) {
  const numbers = known(layer, at).map(([name, number]) => `${name} = ${exact(number)}`).join(", ");
  const label = data.layers[layer].names ? ` (${naming(layer, at)})` : "";
  const place = layer === 0 ? "input" : `layer ${layer}, neuron`;
  return `${place} ${data.layers[layer].shown[at]}${label}: ${numbers || "not computed yet"}`;
}

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function table(caption, heads, rows, total) {
  const cells = (row) => row.map((cell) => `<td>${typeof cell === "number" ? exact(cell) : cell}</td>`).join("");
  return `<table><caption>${caption}</caption><thead><tr>${heads.map((h) => `<th>${h}</th>`).join("")}</tr></thead>` +
    `<tbody>${rows.map((row) => `<tr>${cells(row)}</tr>`).join("")}<tr class="total">${cells(total)}</tr></tbody></table>`;
}

// z as the sum of its terms; what is not drawn is one term.
function forwardTable(layer, at) {
  const now = example(), below = data.layers[layer - 1], backward = quantity(layer) === "delta";
  const extra = (cell) => (backward ? [cell] : []);
  let sum = 0;
  const rows = below.shown.map((_, j) => {
    const w = weight(layer, at, j), a = now.a[layer - 1][j];
    sum += w * a;
    return [escaped(naming(layer - 1, j)), a, w, w * a, ...extra(backward && gradient(layer, at, j))];
  });
  const bias = data.weights[layer - 1].b[at], z = now.z[layer][at], others = below.width - below.shown.length;
  if (others) rows.push([`${others} others`, "", "", z - bias - sum, ...extra("")]);
  rows.push(["bias", "", bias, bias, ...extra(backward && now.delta[layer][at])]);
  const caption = backward ? "what came in, and the gradient of each weight, ∂C/∂w = δ a" : "what comes in";
  return table(caption, ["from", "a", "w", "w · a", ...extra("∂C/∂w")], rows, ["z", "", "", z, ...extra("")]);
}

function backwardTable(layer, at) {
  const now = example(), above = data.layers[layer + 1];
  let sum = 0;
  const rows = above.shown.map((_, k) => {
    const w = weight(layer + 1, k, at), delta = now.delta[layer + 1][k];
    sum += w * delta;
    return [escaped(naming(layer + 1, k)), delta, w, w * delta];
  });
  const total = now.pulled[layer][at], others = above.width - above.shown.length;
  if (others) rows.push([`${others} others`, "", "", total - sum]);
  return table("what flows back", ["from", "δ", "w", "w · δ"], rows, ["∂C/∂a", "", "", total]);
}

function edgeDetail({ layer, k, j }) {
  const rows = [["w", weight(layer, k, j), ""]], forward = quantity(layer - 1) !== null && state.step >= layer;
  if (forward) rows.push(["a", example().a[layer - 1][j], "below"], ["w · a", weight(layer, k, j) * example().a[layer - 1][j], "its part of z"]);
  if (quantity(layer) === "delta") rows.push(["δ", example().delta[layer][k], "above"], ["∂C/∂w", gradient(layer, k, j), data.l1 || data.l2 ? "δ a and penalty" : "δ a"]);
  return `<h2>Weight from ${escaped(naming(layer - 1, j))} to ${escaped(naming(layer, k))}, layer ${layer}</h2>${list(rows)}`;
}

const list = (rows) => `<dl>${rows.map(([name, number, how]) =>
  `<dt>${name}</dt><dd>${exact(number)}</dd><dd class="why">${how}</dd>`).join("")}</dl>`;

function detail() {
  if (state.edge) return edgeDetail(state.edge);
  const { layer, at } = inFocus(), rows = known(layer, at);
  const index = data.layers[layer].shown[at], { names } = data.layers[layer];
  const title = layer === 0 ? `Input ${index}` : layer === last ? `Output ${index}` : `Layer ${layer}, neuron ${index}`;
  const heading = `<h2>${title}${names ? ` (${escaped(names[at])})` : ""}</h2>`;
  if (!rows.length) return `${heading}<p class="note">Not computed yet at this step.</p>`;
  const backward = quantity(layer) === "delta" && layer < last ? backwardTable(layer, at) : "";
  return heading + list(rows) + backward + (layer > 0 ? forwardTable(layer, at) : "");
}
