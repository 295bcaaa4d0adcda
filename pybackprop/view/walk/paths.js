// A weight's paths to the cost: from the neuron that it leads into, up through one neuron of each layer, to
// an output. The derivative is the sum over them of the product of what stands along each.

const MOST_PATHS_SHOWN = 8;

// Numbers of a layer of the whole network, or of what is drawn of it where the page has no more.
function slopeAt(layer, at) {
  const slopes = example().slope[layer];
  return slopes ? slopes[at] : 1;
}

// The largest paths from each neuron of a layer upward, by the size of their product, which ends with the
// delta of an output: the best of a neuron are among the best of the neurons above it.
function pathsFrom(layer, at) {
  let best = data.layers[last].shown.map((_, k) => [{ units: [k], product: example().delta[last][k] }]);
  for (let l = last - 1; l >= layer; l--) {
    const above = best;
    best = data.layers[l].shown.map((_, j) => {
      const slope = slopeAt(l, j);
      const found = above.flatMap((paths, k) => {
        const factor = slope * weight(l + 1, k, j);
        return paths.map(({ units, product }) => ({ units: [j, ...units], product: factor * product }));
      });
      return found.sort((a, b) => Math.abs(b.product) - Math.abs(a.product)).slice(0, MOST_PATHS_SHOWN);
    });
  }
  return best[at];
}

function countPaths(layer) {
  return data.layers.slice(layer + 1).reduce((count, { width }) => count * width, 1);
}

// Whether an edge lies on the way from a weight to the cost: on any of its paths, or on the one that is picked.
function isOnPath(pinned, picked, layer, k, j) {
  const up = layer - pinned.layer;
  if (up <= 0) return false;
  if (picked) return picked.units[up - 1] === j && picked.units[up] === k;
  return up > 1 || j === pinned.k;
}

function isUnitOnPath(pinned, picked, layer, at) {
  const up = layer - pinned.layer;
  if (up < 0) return false;
  return picked ? picked.units[up] === at : up > 0 || at === pinned.k;
}

const inBrackets = (number, digits = 6) => (number < 0 ? `(${rounded(number, digits)})` : rounded(number, digits));

// a · act′(z) · Σ w δ with its numbers; an output's δ is the end of the chain.
function chainLine({ layer, k, j }) {
  const now = example(), a = now.a[layer - 1][j], slope = now.slope[layer];
  if (layer === last || !slope) return "";
  const terms = data.layers[layer + 1].shown.map((_, m) =>
    `${inBrackets(weight(layer + 1, m, k), 4)} · ${inBrackets(now.delta[layer + 1][m], 4)}`);
  const rest = data.layers[layer + 1].width - Math.min(terms.length, 4);
  const sum = terms.slice(0, 4).join(" + ") + (rest ? ` + … ${rest} more` : "");
  const without = now.delta[layer][k] * a;
  return `<p class="unfolded">a · ${activation(layer)}′(z) · Σ w δ = ${inBrackets(a)} · ${inBrackets(slope[k])} · (${sum}) = ${exact(without)}</p>`;
}

// The sum over paths, the largest of them one by one.
function pathList(place) {
  const { layer, k, j } = place, a = example().a[layer - 1][j];
  if (layer === last) return "";
  const paths = pathsFrom(layer, k), count = countPaths(layer), whole = example().delta[layer][k] * a;
  const shown = paths.reduce((sum, { product }) => sum + product * a, 0);
  const rows = paths.map((path, at) => `<li><button type="button" class="path" data-path="${at}" ` +
    `aria-pressed="${state.path === at}"><span>${pathName(place, path)}</span> ` +
    `<span class="product">${pathProduct(place, path)}</span></button></li>`);
  const rest = count - paths.length;
  const left = rest ? `<p class="note">${rest.toLocaleString("en")} more ${rest > 1 ? "paths" : "path"}, together ${exact(whole - shown)}.</p>` : "";
  return `<h3>Its paths to C: ${count.toLocaleString("en")}, the sum ${exact(whole)}</h3>` +
    `<ol class="paths">${rows.join("")}</ol>${left}`;
}

const pathName = ({ layer }, { units }) =>
  "w → " + units.map((at, up) => escaped(`${layer + up === last ? "output " : ""}${naming(layer + up, at)}`)).join(" → ") + " → C";

// a, then slope and weight of each neuron on the way, then the delta of the output.
function pathProduct({ layer, j }, { units, product }) {
  const a = example().a[layer - 1][j], factors = [a];
  units.slice(0, -1).forEach((at, up) => factors.push(slopeAt(layer + up, at), weight(layer + up + 1, units[up + 1], at)));
  factors.push(example().delta[last][units.at(-1)]);
  return `${factors.map((number) => inBrackets(number, 3)).join(" · ")} = ${exact(product * a)}`;
}

function checkLine(place) {
  if (!canLearn) return "";
  const difference = centralDifference(place), whole = gradient(place.layer, place.k, place.j);
  return `<p class="check">Check: (C(w + h) − C(w − h)) / 2h = ${exact(difference)}, beside ∂C/∂w = ${exact(whole)}</p>`;
}
