// What if: the passes of an example computed anew in the page, with weights or inputs changed by hand.

const canLearn = data.learning.reason === undefined;
// `changed`: how many numbers are not as given; `example`: what the passes compute then, as data.examples
// has it, or null.
const live = { engine: null, given: null, rows: null, changed: 0, inputs: new Map(), weights: new Map(), example: null };

const PACKED = { uint8: Uint8Array, float32: Float32Array, float64: Float64Array };
function unpack({ type, bytes }) {
  const raw = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
  return Float64Array.from(new PACKED[type](raw.buffer));
}

// Rows as layer 1 sees them, and targets as a row of outputs each, from what Python packed.
function unpackRows() {
  const { rows, labels, shift, scale } = data.learning;
  const x = unpack(data.learning.x), y = unpack(data.learning.y), width = data.layers[0].width, outputs = data.layers[last].width;
  if (shift) for (let i = 0; i < x.length; i++) x[i] = (x[i] - shift[i % width]) * scale[i % width];
  if (!labels) return { x, y, rows, labels: null };
  const targets = new Float64Array(rows * outputs);
  y.forEach((label, row) => { targets[row * outputs + label] = 1; });
  return { x, y: targets, rows, labels: y };
}

function makeEngine(changes = {}) {
  return new Engine({
    widths: data.layers.map(({ width }) => width), activations: data.layers.slice(1).map(({ act }) => act),
    loss: data.loss, l1: data.l1, l2: data.l2, ...changes,
  });
}

if (canLearn) {
  live.engine = makeEngine();
  live.given = unpack(data.learning.parameters);
  live.engine.parameters.set(live.given);
  live.rows = unpackRows();
}

// Places in the whole network of what is drawn.
const unit = (layer, at) => data.layers[layer].shown[at];
const placeOf = (layer, k, j) => unit(layer, k) * data.layers[layer - 1].width + unit(layer - 1, j);
const liveWeight = (layer, k, j) => live.engine.weights[layer][placeOf(layer, k, j)];

// The inputs of the example, those changed by hand included; and its targets.
function liveInputs() {
  const width = data.layers[0].width;
  const x = live.rows.x.slice(state.example * width, (state.example + 1) * width);
  for (const [at, number] of live.inputs) x[at] = number;
  return x;
}

function liveTargets() {
  const width = data.layers[last].width;
  return live.rows.y.subarray(state.example * width, (state.example + 1) * width);
}

function changeWeight({ layer, k, j }, number) {
  const place = placeOf(layer, k, j);
  live.engine.weights[layer][place] = number;
  live.weights.set(`${layer}.${place}`, number);
  recompute();
}

function changeInput(at, number) {
  live.inputs.set(unit(0, at), number);
  recompute();
}

function putBack() {
  live.engine.parameters.set(live.given);
  live.weights.clear();
  live.inputs.clear();
  recompute();
}

function recompute() {
  live.changed = live.weights.size + live.inputs.size;
  live.example = live.changed ? computeExample() : null;
}

// Both passes of the example, in the form of data.examples.
function computeExample() {
  const { engine } = live, given = data.examples[state.example], target = liveTargets();
  const cost = engine.backprop(liveInputs(), target, 1);
  const drawn = (values, l) => data.layers[l].shown.map((index) => values[index]);
  const all = data.layers.map((_, l) => l);
  const a = all.map((l) => engine.a[l].slice(0, size(l))), z = all.map((l) => engine.z[l].slice(0, size(l)));
  const delta = all.map((l) => engine.delta[l].slice(0, size(l)));
  const pulled = all.map((l) => pulledTo(l, a, delta, target));
  const slope = all.map((l) => (l === 0 ? [] : slopes(l, z[l], a[l])));
  return {
    ...given, cost, best: a[last].indexOf(Math.max(...a[last])),
    a: all.map((l) => drawn(a[l], l)), z: all.map((l) => (l ? drawn(z[l], l) : [])),
    delta: all.map((l) => (l ? drawn(delta[l], l) : [])),
    pulled: all.map((l) => pulled[l] && drawn(pulled[l], l)),
    slope: all.map((l) => slope[l] && (l ? drawn(slope[l], l) : [])),
    whole: a.map(summary), wholeDelta: [pulled[0], ...delta.slice(1)].map(summary),
  };
}

// dC/da of a layer: W^T delta from above; at the output, the derivative of the loss if it is a plain one.
function pulledTo(l, a, delta, target) {
  if (l === last) {
    const loss = DIFFERENCE_LOSSES[data.loss], share = loss && loss.mean ? 1 / size(last) : 1;
    return loss ? a[last].map((value, at) => share * loss.slope(value - target[at])) : null;
  }
  const below = size(l), w = live.engine.weights[l + 1];
  return a[l].map((_, j) => delta[l + 1].reduce((sum, d, k) => sum + d * w[k * below + j], 0));
}

function slopes(l, z, a) {
  if (activation(l) === "softmax") return null;
  return z.map((value, at) => ACTIVATIONS[activation(l)].slope(value, a[at]));
}

function summary(values) {
  return {
    norm: Math.hypot(...values), least: Math.min(...values), most: Math.max(...values),
    zeros: values.filter((value) => value === 0).length,
  };
}

// (C(w + h) - C(w - h)) / 2h of the example, which knows nothing of the chain rule.
function centralDifference({ layer, k, j }) {
  const { engine } = live, w = engine.weights[layer], at = placeOf(layer, k, j), given = w[at];
  const x = liveInputs(), y = liveTargets(), h = 6e-6 * Math.max(1, Math.abs(given));
  w[at] = given + h;
  const above = engine.cost(x, y, 1);
  w[at] = given - h;
  const below = engine.cost(x, y, 1);
  w[at] = given;
  return (above - below) / (2 * h);
}
