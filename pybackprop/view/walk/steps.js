// The walk: which step the page is at, what is known then, and the words and formulas beside it.

const last = data.layers.length - 1;
// Whether the page comes up on a telephone, or in a window no wider.
const NARROW = document.documentElement.clientWidth < 700;
const steps = [{ kind: "input", layer: 0 }];
for (let l = 1; l <= last; l++) steps.push({ kind: "forward", layer: l });
steps.push({ kind: "cost", layer: last });
for (let l = last; l >= 1; l--) steps.push({ kind: "backward", layer: l });
steps.push({ kind: "inputs", layer: 0 });

// A place is a neuron { layer, at } or a weight { layer, k, j }, from neuron j below to neuron k. The
// mouse points at either; a neuron is chosen for a step; a weight is pinned until it is let go.
// Going back, edges show a gradient, dC/dW, or the signal that runs along them, w delta.
const state = { step: 0, example: 0, chosen: null, pointed: null, pinned: null, path: null, edges: "gradient" };
const isEdge = (place) => place.k !== undefined;
// What has been changed by hand is computed anew (live.js).
const example = () => live.example || data.examples[state.example];
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

// A page that computes has all weights, exactly; another one has those that are drawn.
const weight = (layer, k, j) => (canLearn ? liveWeight(layer, k, j) : data.weights[layer - 1].W[k][j]);

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

function outputDelta() {
  const error = `${vector("a", last)} − <b>y</b>`;
  if (data.loss === "cross_entropy") return error;
  if (data.loss === "binary_cross_entropy") return `(${error}) / <i>n</i>`;
  if (activation(last) === "softmax") return `softmax′(${vector("z", last)}) ${partial(vector("a", last))}`;
  const slope = `${activation(last)}′(${vector("z", last)}) ∘ `;
  const derivative = LOSS_DERIVATIVES[data.loss];
  return slope + (derivative ? derivative(error) : partial(vector("a", last)));
}

function penalty(l) {
  const parts = [];
  if (data.l2) parts.push(` + ${exact(data.l2)} ${matrix("W", l)}`);
  if (data.l1) parts.push(` + ${exact(data.l1)} sign ${matrix("W", l)}`);
  return parts.join("");
}

function penaltyText() {
  return (data.l2 ? ` + ${exact(data.l2)} w` : "") + (data.l1 ? ` + ${exact(data.l1)} sign(w)` : "");
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
    formulas.push(LOSS_FORMULAS[data.loss] + (data.l1 || data.l2 ? " + penalties" : ""));
    formulas.push(`<i>C</i> = <span id="cost">${exact(example().cost)}</span>`);
    text = "One number says how far the outputs are from the targets. From here the derivatives flow back.";
    sizes = `n = ${size(last)} ${size(last) > 1 ? "outputs" : "output"}`;
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
