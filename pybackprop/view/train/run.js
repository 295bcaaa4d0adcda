// A network that learns in the page: where it starts, one step, and what is measured on the way.

// The seed of the split and of the order of the examples: the same batches for every network.
const SEED_OF_ORDER = 0;
// With fewer rows none is held out.
const LEAST_ROWS_TO_SPLIT = 16;

const RULES = {
  sgd: { name: "SGD", kind: "sgd", settings: {} },
  momentum: { name: "SGD, momentum 0.9", kind: "sgd", settings: { momentum: 0.9 } },
  nesterov: { name: "SGD, Nesterov 0.9", kind: "sgd", settings: { momentum: 0.9, nesterov: true } },
  adam: { name: "Adam", kind: "adam", settings: {} },
  adamw: { name: "AdamW, decay 0.01", kind: "adamw", settings: {} },
  rmsprop: { name: "RMSprop", kind: "rmsprop", settings: {} },
  adagrad: { name: "Adagrad", kind: "adagrad", settings: {} },
};

// Rows to learn from, and one in four held out, drawn at random.
function splitRows({ x, y, rows }, wide, high) {
  const order = shuffled(SEED_OF_ORDER, 0, rows), held = rows < LEAST_ROWS_TO_SPLIT ? 0 : Math.floor(rows / 4);
  const part = (indices) => ({
    rows: indices.length,
    x: gatherRows(x, wide, indices), y: gatherRows(y, high, indices),
  });
  return { learnt: part(order.subarray(0, rows - held)), held: part(order.subarray(rows - held)) };
}

function gatherRows(values, width, indices, into = new Float64Array(indices.length * width)) {
  indices.forEach((row, at) => into.set(values.subarray(row * width, (row + 1) * width), at * width));
  return into;
}

class Run {
  // `own` is what may differ between two networks, { activation, init, seed, lr }; `shared` is { rule, batch, l2 }.
  constructor(own, shared, rows) {
    Object.assign(this, { own, shared, rows });
    this.rewind();
  }

  // Back to the very same start.
  rewind() {
    const { activation, init, seed } = this.own, given = data.layers.slice(1).map(({ act }) => act);
    const hidden = (name, at) => (activation === "given" || at === last - 1 ? name : activation);
    this.engine = makeEngine({ activations: given.map(hidden), l2: this.shared.l2 });
    if (init === "given") this.engine.parameters.set(live.given);
    else initialize(this.engine, init, seed);
    Object.assign(this, { steps: 0, epoch: 0, at: 0, curve: [], every: 1, layers: null, order: null });
    this.takeRule();
    this.measure();
  }

  // A new optimizer, whose state is empty.
  takeRule() {
    const { kind, settings } = RULES[this.shared.rule];
    this.settings = { ...settings, lr: this.own.lr };
    this.update = OPTIMIZERS[kind](this.settings, this.engine.size);
  }

  setRate(lr) {
    this.own.lr = this.settings.lr = lr;
  }

  // One batch: the cost before, and the update. The order of an epoch is drawn as `fit` draws it.
  step() {
    const { rows, x, y } = this.rows.learnt, { engine } = this, batch = Math.min(this.shared.batch, rows);
    if (this.at === 0) this.order = shuffled(SEED_OF_ORDER, this.epoch, rows);
    const taken = this.order.subarray(this.at, Math.min(this.at + batch, rows));
    this.before = this.before || new Float64Array(engine.size);
    this.before.set(engine.parameters);
    engine.backprop(gatherRows(x, engine.widths[0], taken), gatherRows(y, engine.widths[last], taken), taken.length);
    this.batch = taken.length;
    this.update(engine.parameters, engine.gradient);
    this.steps++;
    this.at += batch;
    if (this.at >= rows) [this.at, this.epoch] = [0, this.epoch + 1];
  }

  // Of each layer: the norm of delta, per example, and that of the last update beside the weights'.
  measureLayers() {
    if (!this.steps) return;
    const { engine } = this, [before] = engine.split(this.before);
    this.layers = this.engine.activations.map((_, at) => {
      const l = at + 1, w = engine.weights[l], count = this.batch * engine.widths[l];
      // The batch's cost is a mean over its examples, so delta is that of an example divided by their number.
      const delta = normOf(engine.delta[l].subarray(0, count)) * Math.sqrt(this.batch);
      return { delta, update: normOf(w.map((value, i) => value - before[l][i])) / normOf(before[l]) };
    });
  }

  // The costs of all rows, which become a point of the curve.
  measure() {
    this.measureLayers();
    const { learnt, held } = this.rows, { engine } = this;
    this.cost = engine.cost(learnt.x, learnt.y, learnt.rows);
    this.right = shareRight(engine, learnt);
    if (held.rows) {
      this.heldCost = engine.cost(held.x, held.y, held.rows);
      this.heldRight = shareRight(engine, held);
    }
    this.curve.push({ step: this.steps, cost: this.cost, held: this.heldCost });
    // A long curve keeps every second point.
    if (this.curve.length > 800) this.curve = this.curve.filter((_, at) => at % 2 === 0 || at === this.curve.length - 1);
  }

  get isFinite() {
    return Number.isFinite(this.cost);
  }
}

const normOf = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

// The share of rows, gone forward last, whose largest output is that of the largest target; null where the
// outputs are no classes.
function shareRight(engine, { rows, y }) {
  if (!data.loss.endsWith("cross_entropy")) return null;
  const width = engine.widths[last], a = engine.a[last];
  let right = 0;
  for (let r = 0; r < rows; r++) right += classOf(a, r, width) === classOf(y, r, width);
  return right / rows;
}

// The largest output of a row; of a single one, whether it is above a half.
function classOf(values, row, width) {
  if (width === 1) return values[row] > 0.5 ? 1 : 0;
  let best = 0;
  for (let j = 1; j < width; j++) if (values[row * width + j] > values[row * width + best]) best = j;
  return best;
}
