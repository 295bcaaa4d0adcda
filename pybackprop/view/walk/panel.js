// The panel: the numbers of one neuron or one weight, and where they come from.

const naming = (layer, at) => {
  const { shown, names } = data.layers[layer];
  return names ? `${names[at]}` : `${shown[at]}`;
};

// Until something is chosen, the panel follows the neuron that stands out most in the layer of the step.
function inFocus() {
  const place = state.pinned || state.pointed || state.chosen;
  if (place) return place;
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

function table(caption, heads, rows, total) {
  // Five columns have to fit beside each other.
  const written = (cell) => (typeof cell === "number" ? rounded(cell, NARROW ? 4 : 6) : cell);
  const cells = (row) => row.map((cell) => `<td>${written(cell)}</td>`).join("");
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
  const caption = backward ? `what came in, and the gradient of each weight, ∂C/∂w = δ a${penaltyText()}` : "what comes in";
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

const edgeName = ({ layer, k, j }) => `Weight from ${naming(layer - 1, j)} to ${naming(layer, k)}, layer ${layer}`;

function describeEdge(place) {
  const numbers = edgeRows(place).map(([name, number]) => `${name} = ${exact(number)}`).join(", ");
  return `${edgeName(place)}: ${numbers}`;
}

// The computed numbers of a weight at this step, as [name, value, how].
function edgeRows({ layer, k, j }) {
  const rows = [["w", weight(layer, k, j), ""]], a = example().a[layer - 1][j];
  if (quantity(layer - 1) !== null && state.step >= layer) {
    rows.push(["a", a, "below"], ["w · a", weight(layer, k, j) * a, "its part of z"]);
  }
  if (quantity(layer) !== "delta") return rows;
  rows.push(["δ", example().delta[layer][k], "above"]);
  rows.push(["∂C/∂w", gradient(layer, k, j), `δ a${penaltyText()}`]);
  return rows;
}

// The chain rule of one weight with its numbers: C depends on w through the z above it alone.
function edgeChain({ layer, k, j }) {
  if (quantity(layer) !== "delta") {
    return '<p class="note">Its derivative ∂C/∂w comes with the backward pass of this layer.</p>';
  }
  const now = example(), delta = now.delta[layer][k], a = now.a[layer - 1][j], w = weight(layer, k, j);
  const slope = now.slope[layer], pulled = now.pulled[layer];
  const lines = [];
  if (slope && pulled) {
    lines.push(`δ = ∂C/∂z = ${activation(layer)}′(z) · ∂C/∂a = ${inBrackets(slope[k])} · ${inBrackets(pulled[k])} = ${exact(delta)}`);
  }
  const extra = (data.l2 ? ` + ${exact(data.l2)} · ${inBrackets(w)}` : "") + (data.l1 ? ` + ${exact(data.l1)} · sign(${exact(w)})` : "");
  lines.push(`∂C/∂w = ∂C/∂z · ∂z/∂w${penaltyText()} = ${inBrackets(delta)} · ${inBrackets(a)}${extra} = ${exact(gradient(layer, k, j))}`);
  return chainLine({ layer, k, j }) + lines.map((line) => `<p class="chain">${line}</p>`).join("") + checkLine({ layer, k, j }) +
    '<p class="note">w enters the cost only through the z of its neuron, where it stands beside a: ' +
    `∂z/∂w = a. ${slope && pulled && layer < last ? "∂C/∂a gathers the δ of the layer above, each times its weight." : ""}</p>` + pathList({ layer, k, j });
}

function edgeDetail(place) {
  const button = state.pinned ? '<button type="button" id="release" aria-label="let go of this weight" title="let go (Esc)">✕</button>' : "";
  return `${button}<h2>${escaped(edgeName(place))}</h2>${list(edgeRows(place))}${edgeChain(place)}`;
}

const list = (rows) => `<dl>${rows.map(([name, number, how]) =>
  `<dt>${name}</dt><dd>${exact(number)}</dd><dd class="why">${how}</dd>`).join("")}</dl>`;

function detail() {
  const place = inFocus();
  if (isEdge(place)) return edgeDetail(place);
  const { layer, at } = place, rows = known(layer, at);
  const index = data.layers[layer].shown[at], { names } = data.layers[layer];
  const title = layer === 0 ? `Input ${index}` : layer === last ? `Output ${index}` : `Layer ${layer}, neuron ${index}`;
  const heading = `<h2>${title}${names ? ` (${escaped(names[at])})` : ""}</h2>`;
  if (!rows.length) return `${heading}<p class="note">Not computed yet at this step.</p>`;
  const backward = quantity(layer) === "delta" && layer < last ? backwardTable(layer, at) : "";
  return heading + list(rows) + backward + (layer > 0 ? forwardTable(layer, at) : "");
}
