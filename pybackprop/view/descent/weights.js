// The tab Descent: the cost as a function of two weights of the network, all others as they are, and paths
// down it that start where one clicks.

const MOST_ROWS_OF_DESCENT = 64, STEPS_OF_DESCENT = 60;
// A finer grid where that takes no longer than a moment.
const pointsOfGrid = () => (hill.engine.size <= 2000 ? 49 : 33);

const hill = { picture: null, places: null, start: null, rate: 0.1, engine: null, rows: null };

function descentHtml() {
  return '<p class="controls" id="axes"></p><p class="controls">' +
    `<label>rate <select id="descent-rate">${optionsOf(RATES.map((rate) => [rate, rounded(rate, 1)]), hill.rate)}</select></label> ` +
    '<span class="note">Click or tap the picture for another start.</span></p><div id="plane"></div>' +
    `<p class="note">The cost of ${hill.rows.rows} examples as a function of two weights; all others are as given or as changed on the tab Walk. ` +
    "Momentum and Adam see the same gradient. Another place has another 2/λ.</p>";
}

// Another weight than this one, of its layer or else of another; null if the network has no other.
function otherThan(place) {
  for (const layer of new Set([place.layer, ...data.layers.keys()])) {
    if (layer === 0) continue;
    for (const k of data.layers[layer].shown.keys()) {
      for (const j of data.layers[layer - 1].shown.keys()) {
        if (!isSame({ layer, k, j }, place)) return { layer, k, j };
      }
    }
  }
  return null;
}

// The two weights of the last layer that the cost depends on most.
function steepestPair() {
  const { engine, rows } = hill;
  engine.backprop(rows.x, rows.y, rows.rows);
  const found = data.layers[last].shown.flatMap((_, k) => data.layers[last - 1].shown.map((__, j) => ({ layer: last, k, j })));
  const size = (place) => Math.abs(engine.dWeights[last][placeOf(place.layer, place.k, place.j)]);
  found.sort((a, b) => size(b) - size(a));
  return [found[0], found[1] || otherThan(found[0])];
}

function buildDescent() {
  const reason = canLearn ? !otherThan({ layer: last, k: 0, j: 0 }) && "the network has one weight" : data.learning.reason;
  if (reason) {
    byId("descent").innerHTML = `<p class="note">There is no descent here: ${escaped(reason)}.</p>`;
    return;
  }
  const { learnt } = splitRows(live.rows, data.layers[0].width, data.layers[last].width);
  const rows = Math.min(learnt.rows, MOST_ROWS_OF_DESCENT);
  hill.rows = { rows, x: learnt.x.subarray(0, rows * data.layers[0].width), y: learnt.y.subarray(0, rows * data.layers[last].width) };
  hill.engine = makeEngine();
  hill.engine.parameters.set(live.engine.parameters);
  hill.places = state.pinned ? [state.pinned, steepestPair().find((place) => !isSame(place, state.pinned))] : steepestPair();
  byId("descent").innerHTML = descentHtml();
  hill.picture = new DescentPicture(byId("plane"), (start) => {
    hill.start = start;
    descend();
  });
  byId("descent-rate").addEventListener("change", (event) => {
    hill.rate = Number(event.target.value);
    descend();
  });
  survey();
}

// A choice of layer, neuron and input for each of the two weights.
function paintAxes() {
  const choice = (axis, key, label, entries) =>
    `<label>${label} <select data-axis="${axis}" data-key="${key}">${optionsOf(entries, hill.places[axis][key])}</select></label>`;
  byId("axes").innerHTML = hill.places.map(({ layer }, axis) =>
    `<span class="axis-choice"><b>${axis ? "up" : "across"}</b> ` +
    choice(axis, "layer", "layer", data.layers.slice(1).map((_, at) => [at + 1, at + 1])) + " " +
    choice(axis, "j", "from", data.layers[layer - 1].shown.map((_, at) => [at, escaped(naming(layer - 1, at))])) + " " +
    choice(axis, "k", "to", data.layers[layer].shown.map((_, at) => [at, escaped(naming(layer, at))])) + "</span>").join(" ");
  for (const select of byId("axes").querySelectorAll("select")) {
    select.addEventListener("change", () => changeAxis(Number(select.dataset.axis), select.dataset.key, Number(select.value)));
  }
}

// Both axes never are the same weight: the other one then moves on.
function changeAxis(axis, key, number) {
  const place = { ...hill.places[axis], [key]: number };
  if (key === "layer") Object.assign(place, { k: 0, j: 0 });
  hill.places[axis] = place;
  const other = hill.places[1 - axis], inputs = data.layers[place.layer - 1].shown.length;
  if (isSame(place, other)) hill.places[1 - axis] = inputs > 1 ? { ...other, j: (other.j + 1) % inputs } : otherThan(place);
  survey();
}

const pointNow = () => hill.places.map(({ layer, k, j }) => hill.engine.weights[layer][placeOf(layer, k, j)]);

function moveTo(point) {
  hill.places.forEach(({ layer, k, j }, axis) => { hill.engine.weights[layer][placeOf(layer, k, j)] = point[axis]; });
}

function costAt(point, lowest) {
  moveTo(point);
  return hill.engine.costFrom(lowest, hill.rows.y, hill.rows.rows);
}

function gradientAt(point) {
  moveTo(point);
  const { engine, rows } = hill;
  engine.backprop(rows.x, rows.y, rows.rows);
  return hill.places.map(({ layer, k, j }) => engine.dWeights[layer][placeOf(layer, k, j)]);
}

// The cost on a grid around the weights as they are. What lies below both weights is computed once.
function survey() {
  paintAxes();
  const given = pointNow(), lowest = Math.min(...hill.places.map(({ layer }) => layer));
  const reaches = hill.places.map(({ layer }) => 3 * Math.max(data.weights[layer - 1].largest, 0.5));
  hill.given = given;
  hill.range = given.map((number, axis) => [number - reaches[axis], number + reaches[axis]]);
  hill.start = given.map((number, axis) => number + (axis ? 0.6 : -0.75) * reaches[axis]);
  hill.engine.forward(hill.rows.x, hill.rows.rows);
  const count = pointsOfGrid(), values = [];
  const at = ([low, high], part) => low + (high - low) * part;
  for (let i = 0; i < count * count; i++) {
    const point = [at(hill.range[0], i % count / (count - 1)), at(hill.range[1], Math.floor(i / count) / (count - 1))];
    values.push(costAt(point, lowest));
  }
  const best = values.indexOf(Math.min(...values));
  hill.lowest = [at(hill.range[0], best % count / (count - 1)), at(hill.range[1], Math.floor(best / count) / (count - 1))];
  hill.grid = { count, values };
  moveTo(given);
  descend();
}

// The Hessian in the two weights, by central differences of the gradient.
function hessianAt(point) {
  const h = 1e-4 * Math.max(1, ...point.map(Math.abs));
  const rows = [0, 1].map((axis) => {
    const moved = (sign) => point.map((number, at) => number + (at === axis ? sign * h : 0));
    const [above, below] = [gradientAt(moved(1)), gradientAt(moved(-1))];
    return above.map((number, at) => (number - below[at]) / (2 * h));
  });
  const mixed = (rows[0][1] + rows[1][0]) / 2;
  return [[rows[0][0], mixed], [mixed, rows[1][1]]];
}

function runFrom(start, rule, rate) {
  const { kind, settings } = RULES[rule], update = OPTIMIZERS[kind]({ ...settings, lr: rate }, 2);
  const point = Float64Array.from(start), path = [[...point]];
  moveTo(start);
  const values = [hill.engine.cost(hill.rows.x, hill.rows.y, hill.rows.rows)];
  for (let step = 0; step < STEPS_OF_DESCENT; step++) {
    update(point, Float64Array.from(gradientAt([...point])));
    if (!point.every(Number.isFinite)) break;
    path.push([...point]);
    moveTo(point);
    values.push(hill.engine.cost(hill.rows.x, hill.rows.y, hill.rows.rows));
  }
  return { rule, rate, path, values };
}

function descend() {
  const { start, rate, given } = hill;
  const runs = [["sgd", rate / 3], ["sgd", rate], ["sgd", 3 * rate], ["momentum", rate], ["adam", rate]]
    .map(([rule, each]) => runFrom(start, rule, each));
  const limit = limitOf(hessianAt(hill.lowest), hill.lowest);
  moveTo(given);
  const names = hill.places.map((place) => `w ${naming(place.layer - 1, place.j)} → ${naming(place.layer, place.k)}`);
  hill.picture.show({ names, grid: hill.grid, range: hill.range, runs, limit });
}

tabs.enter.descent = () => {
  // What was changed on another tab counts here.
  if (!byId("descent").firstChild || canLearn) buildDescent();
  writeAddress();
};
