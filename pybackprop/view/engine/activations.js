// The activations and their slopes, in float64: each a function of z and, where it helps, of a = act(z).
// Slopes that suffer cancellation use the stable form, as the C core does.

const LEAKY_SLOPE = 0.01;
const SELU_ALPHA = 1.6732632423543772, SELU_LAMBDA = 1.0507009873554805;

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z) => Math.max(0, z) + Math.log1p(Math.exp(-Math.abs(z)));
const normalDensity = (z) => Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);

// The probability that a standard normal variable is above t >= 0: by the series around 0 (DLMF 7.6.2),
// and further out, where the difference from 1/2 would lose digits, by the continued fraction (DLMF 7.9.3).
function normalTail(t) {
  if (t > 39) return 0;
  if (t < 2.2) {
    let term = t, sum = t;
    for (let odd = 3; term > 1e-17 * sum; odd += 2) {
      term *= t * t / odd;
      sum += term;
    }
    return 0.5 - normalDensity(t) * sum;
  }
  let fraction = t;
  for (let n = Math.ceil(20 + 420 / (t * t)); n >= 1; n--) fraction = t + n / fraction;
  return normalDensity(t) / fraction;
}

const normalBelow = (z) => (z < 0 ? normalTail(-z) : 1 - normalTail(z));

function mishSlope(z) {
  const t = Math.tanh(softplus(z));
  return t + z * (1 - t) * (1 + t) * sigmoid(z);
}

const ACTIVATIONS = {
  identity: { value: (z) => z, slope: () => 1 },
  sigmoid: { value: sigmoid, slope: (z) => sigmoid(z) * sigmoid(-z) },
  tanh: { value: Math.tanh, slope: (z, a) => (1 - a) * (1 + a) },
  // NaN passes through, as everywhere.
  relu: { value: (z) => (z <= 0 ? 0 : z), slope: (z) => (z > 0 ? 1 : 0) },
  leaky_relu: { value: (z) => (z > 0 ? z : LEAKY_SLOPE * z), slope: (z) => (z > 0 ? 1 : LEAKY_SLOPE) },
  elu: { value: (z) => (z < 0 ? Math.expm1(z) : z), slope: (z) => (z > 0 ? 1 : Math.exp(z)) },
  selu: {
    value: (z) => SELU_LAMBDA * (z < 0 ? SELU_ALPHA * Math.expm1(z) : z),
    slope: (z) => SELU_LAMBDA * (z > 0 ? 1 : SELU_ALPHA * Math.exp(z)),
  },
  softplus: { value: softplus, slope: sigmoid },
  gelu: { value: (z) => z * normalBelow(z), slope: (z) => normalBelow(z) + z * normalDensity(z) },
  silu: { value: (z) => z * sigmoid(z), slope: (z) => sigmoid(z) * (1 + z * sigmoid(-z)) },
  mish: { value: (z) => z * Math.tanh(softplus(z)), slope: mishSlope },
};

// a = softmax(z) of one row, in place or not; returns log Σ exp(z).
function softmaxRow(z, a, from, width) {
  let top = -Infinity, sum = 0;
  for (let j = from; j < from + width; j++) top = Math.max(top, z[j]);
  for (let j = from; j < from + width; j++) {
    a[j] = Math.exp(z[j] - top);
    sum += a[j];
  }
  for (let j = from; j < from + width; j++) a[j] /= sum;
  return top + Math.log(sum);
}
