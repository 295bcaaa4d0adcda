// A dense network in float64: forward, cost and backward over the rows of a batch.
//
// Names and layout are the package's: parameters are W1, b1, W2, b2, … in one vector, W row-major with a
// row a neuron; delta is dC/dz; the cost is the mean over the rows, plus l2/2 Σ W² + l1 Σ |W|.

class Engine {
  constructor({ widths, activations, loss, l1 = 0, l2 = 0 }) {
    Object.assign(this, { widths, activations, loss, l1, l2, rows: 0 });
    this.last = activations.length;
    this.size = activations.reduce((sum, _, l) => sum + (widths[l] + 1) * widths[l + 1], 0);
    this.parameters = new Float64Array(this.size);
    this.gradient = new Float64Array(this.size);
    [this.weights, this.biases] = this.split(this.parameters);
    [this.dWeights, this.dBiases] = this.split(this.gradient);
  }

  // Views of a flat vector: the weights and the biases of each layer, layer 1 at index 1.
  split(flat) {
    const weights = [null], biases = [null];
    let at = 0;
    for (let l = 1; l <= this.last; l++) {
      const below = this.widths[l - 1], width = this.widths[l];
      weights.push(flat.subarray(at, at + below * width));
      biases.push(flat.subarray(at + below * width, at + (below + 1) * width));
      at += (below + 1) * width;
    }
    return [weights, biases];
  }

  // Room for so many rows; it is kept while batches are no larger.
  reserve(rows) {
    if (rows <= this.rows) return;
    const matrix = (width) => new Float64Array(rows * width);
    this.rows = rows;
    this.z = this.widths.map(matrix);
    this.a = this.widths.map(matrix);
    this.delta = this.widths.map(matrix);
  }

  // a[l] and z[l] of the first rows of x, (rows, widths[0]); returns the outputs.
  forward(x, rows) {
    this.reserve(rows);
    this.a[0].set(x.subarray(0, rows * this.widths[0]));
    for (let l = 1; l <= this.last; l++) {
      this.sums(l, rows);
      this.activate(l, rows);
    }
    return this.a[this.last];
  }

  // z = W a + b of layer l.
  sums(l, rows) {
    const below = this.widths[l - 1], width = this.widths[l];
    const w = this.weights[l], b = this.biases[l], a = this.a[l - 1], z = this.z[l];
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < width; k++) {
        let sum = 0;
        for (let j = 0, i = k * below, at = r * below; j < below; j++) sum += w[i + j] * a[at + j];
        z[r * width + k] = sum + b[k];
      }
    }
  }

  activate(l, rows) {
    const width = this.widths[l], name = this.activations[l - 1], z = this.z[l], a = this.a[l];
    if (name === "softmax") {
      for (let r = 0; r < rows; r++) softmaxRow(z, a, r * width, width);
      return;
    }
    const { value } = ACTIVATIONS[name];
    for (let i = 0; i < rows * width; i++) a[i] = value(z[i]);
  }

  // The mean loss of rows that have gone forward, without penalties; delta of the output layer is set.
  loseRows(y, rows) {
    const l = this.last, width = this.widths[l], z = this.z[l], a = this.a[l], delta = this.delta[l];
    const fused = LOSS_ROWS[this.loss], output = this.activations[l - 1];
    let sum = 0;
    for (let r = 0; r < rows; r++) {
      sum += fused
        ? fused(z, a, y, r * width, width, 1 / rows, delta)
        : differenceRow(this.loss, output, z, a, y, r * width, width, 1 / rows, delta);
    }
    return sum / rows;
  }

  penalty() {
    if (!this.l1 && !this.l2) return 0;
    let squares = 0, sizes = 0;
    for (const w of this.weights.slice(1)) {
      for (let i = 0; i < w.length; i++) {
        squares += w[i] * w[i];
        sizes += Math.abs(w[i]);
      }
    }
    return this.l2 / 2 * squares + this.l1 * sizes;
  }

  cost(x, y, rows) {
    this.forward(x, rows);
    return this.loseRows(y, rows) + this.penalty();
  }

  // The cost of the rows that went forward last, with the layers from `lowest` on computed anew.
  costFrom(lowest, y, rows) {
    for (let l = lowest; l <= this.last; l++) {
      this.sums(l, rows);
      this.activate(l, rows);
    }
    return this.loseRows(y, rows) + this.penalty();
  }

  // The cost; and `gradient` becomes dC/d parameters, `delta` dC/dz.
  backprop(x, y, rows) {
    const cost = this.cost(x, y, rows);
    for (let l = this.last; l >= 1; l--) {
      this.gradientOf(l, rows);
      if (l === 1) break;
      this.pullBack(l, rows);
      this.bend(l - 1, rows);
    }
    return cost;
  }

  // dW = delta^T a and db = the column sums of delta, with the derivative of the penalties.
  gradientOf(l, rows) {
    const below = this.widths[l - 1], width = this.widths[l];
    const w = this.weights[l], a = this.a[l - 1], delta = this.delta[l], dw = this.dWeights[l], db = this.dBiases[l];
    for (let i = 0; i < dw.length; i++) dw[i] = this.l2 * w[i] + this.l1 * Math.sign(w[i]);
    db.fill(0);
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < width; k++) {
        const d = delta[r * width + k];
        db[k] += d;
        for (let j = 0, i = k * below, at = r * below; j < below; j++) dw[i + j] += d * a[at + j];
      }
    }
  }

  // dC/da of the layer below l: delta W.
  pullBack(l, rows) {
    const below = this.widths[l - 1], width = this.widths[l];
    const w = this.weights[l], delta = this.delta[l], pulled = this.delta[l - 1];
    pulled.fill(0, 0, rows * below);
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < width; k++) {
        const d = delta[r * width + k];
        for (let j = 0, i = k * below, at = r * below; j < below; j++) pulled[at + j] += d * w[i + j];
      }
    }
  }

  // delta = act'(z) dC/da, in place.
  bend(l, rows) {
    const { slope } = ACTIVATIONS[this.activations[l - 1]];
    const z = this.z[l], a = this.a[l], delta = this.delta[l], count = rows * this.widths[l];
    for (let i = 0; i < count; i++) delta[i] *= slope(z[i], a[i]);
  }
}
