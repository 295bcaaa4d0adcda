// The losses: what one output adds to the loss of an example, and the derivative of that.

// Of the outputs a. `mean`: whether the loss of an example is the mean over its outputs.
const DIFFERENCE_LOSSES = {
  mse: { value: (e) => e * e, slope: (e) => 2 * e, mean: true },
  squared_error: { value: (e) => e * e, slope: (e) => 2 * e, mean: false },
  mae: { value: Math.abs, slope: Math.sign, mean: true },
  huber: {
    value: (e) => (Math.abs(e) <= 1 ? e * e / 2 : Math.abs(e) - 0.5),
    slope: (e) => Math.max(-1, Math.min(1, e)),
    mean: true,
  },
};

// The loss of one row, and delta = scale dC/dz of the output layer. The cross-entropies are computed from
// z, because the logarithm of a rounded probability would lose digits.
const LOSS_ROWS = {
  cross_entropy(z, a, y, from, width, scale, delta) {
    const logSum = softmaxRow(z, a, from, width);
    let loss = 0, mass = 0;
    for (let j = from; j < from + width; j++) {
      mass += y[j];
      if (y[j]) loss += y[j] * (logSum - z[j]);
    }
    for (let j = from; j < from + width; j++) delta[j] = scale * (mass * a[j] - y[j]);
    return loss;
  },
  binary_cross_entropy(z, a, y, from, width, scale, delta) {
    let loss = 0;
    for (let j = from; j < from + width; j++) {
      loss += softplus(z[j]) - z[j] * y[j];
      delta[j] = scale / width * ((1 - y[j]) * sigmoid(z[j]) - y[j] * sigmoid(-z[j]));
    }
    return loss / width;
  },
};

// The other losses, for an output layer with any activation: delta = act'(z) dC/da.
function differenceRow(loss, output, z, a, y, from, width, scale, delta) {
  const { value, slope, mean } = DIFFERENCE_LOSSES[loss], share = mean ? 1 / width : 1;
  let sum = 0;
  for (let j = from; j < from + width; j++) {
    sum += value(a[j] - y[j]);
    delta[j] = scale * share * slope(a[j] - y[j]);
  }
  if (output === "softmax") softmaxBackward(a, from, width, delta);
  else for (let j = from; j < from + width; j++) delta[j] *= ACTIVATIONS[output].slope(z[j], a[j]);
  return sum * share;
}

// dC/dz of a softmax from dC/da, in place: a (dC/da - Σ a dC/da).
function softmaxBackward(a, from, width, delta) {
  let mean = 0;
  for (let j = from; j < from + width; j++) mean += a[j] * delta[j];
  for (let j = from; j < from + width; j++) delta[j] = a[j] * (delta[j] - mean);
}

// How pages write a loss, and its derivative in the outputs where it is formed from a − y.
const LOSS_FORMULAS = {
  mse: "<i>C</i> = 1/<i>n</i> Σ (<i>a</i> − <i>y</i>)²",
  squared_error: "<i>C</i> = Σ (<i>a</i> − <i>y</i>)²",
  mae: "<i>C</i> = 1/<i>n</i> Σ |<i>a</i> − <i>y</i>|",
  huber: "<i>C</i> = 1/<i>n</i> Σ huber(<i>a</i> − <i>y</i>)",
  cross_entropy: "<i>C</i> = −Σ <i>y</i> log <i>a</i>",
  binary_cross_entropy: "<i>C</i> = −1/<i>n</i> Σ [<i>y</i> log <i>a</i> + (1 − <i>y</i>) log(1 − <i>a</i>)]",
  custom: "<i>C</i> = loss(<i>a</i>, <i>y</i>)",
};

const LOSS_DERIVATIVES = {
  mse: (error) => `2 (${error}) / <i>n</i>`,
  squared_error: (error) => `2 (${error})`,
  mae: (error) => `sign(${error}) / <i>n</i>`,
  huber: (error) => `clip(${error}, ±1) / <i>n</i>`,
};
