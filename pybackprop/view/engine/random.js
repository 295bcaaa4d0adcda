// Random numbers as the C core draws them, so that a seed means the same weights and the same order of
// examples here and there: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, 2011), with the counter
// (index, 4 stream + use) and the seed as its key.

const USE_OF_WEIGHTS = 0, USE_OF_ORDER = 1;

// The higher word of the product of two words.
function highWord(a, b) {
  const low = (a & 0xffff) * (b & 0xffff), middle = (a >>> 16) * (b & 0xffff) + (low >>> 16);
  const other = (a & 0xffff) * (b >>> 16) + (middle & 0xffff);
  return ((a >>> 16) * (b >>> 16) + Math.floor(middle / 65536) + (other >>> 16)) >>> 0;
}

function philox(seed, index, high) {
  let [c0, c1, c2, c3] = [index, 0, high, 0], k0 = seed >>> 0, k1 = Math.floor(seed / 2 ** 32) >>> 0;
  for (let round = 0; round < 10; round++) {
    const first = highWord(c0, 0xd2511f53), second = highWord(c2, 0xcd9e8d57);
    const [low0, low2] = [Math.imul(c0, 0xd2511f53), Math.imul(c2, 0xcd9e8d57)];
    [c0, c1, c2, c3] = [(second ^ c1 ^ k0) >>> 0, low2 >>> 0, (first ^ c3 ^ k1) >>> 0, low0 >>> 0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

// The words of a stream, one after another.
function* randomWords(seed, use, stream) {
  for (let index = 0; ; index++) yield* philox(seed, index, 4 * stream + use);
}

// Numbers in [0, 1) of 53 bits.
function randomUniform(seed, stream, count) {
  const drawn = randomWords(seed, USE_OF_WEIGHTS, stream);
  return Float64Array.from({ length: count }, () => {
    const high = drawn.next().value, low = drawn.next().value;
    return (high * 2 ** 21 + (low >>> 11)) * 2 ** -53;
  });
}

// The order of the examples in an epoch: a shuffle by Fisher and Yates, with Lemire's unbiased draws.
function shuffled(seed, epoch, count) {
  const drawn = randomWords(seed, USE_OF_ORDER, epoch);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let n = count; n > 1; n--) {
    let word = drawn.next().value;
    while (Math.imul(word, n) >>> 0 < 2 ** 32 % n) word = drawn.next().value;
    const other = highWord(word, n);
    [order[n - 1], order[other]] = [order[other], order[n - 1]];
  }
  return order;
}

// First weights, in the schemes of the package (initializers.py): uniform, of these variances.
const VARIANCES = {
  he: (below) => 2 / below,
  glorot: (below, width) => 2 / (below + width),
  lecun: (below) => 1 / below,
  zeros: () => 0,
};
const BOUNDED_LIKE_TANH = ["identity", "sigmoid", "tanh", "softmax"];

function schemeOf(activation) {
  if (activation === "selu") return "lecun";
  return BOUNDED_LIKE_TANH.includes(activation) ? "glorot" : "he";
}

// Set the weights of an engine as a new network's with this scheme and seed; biases are 0.
function initialize(engine, init, seed) {
  engine.parameters.fill(0);
  for (let l = 1; l <= engine.last; l++) {
    const below = engine.widths[l - 1], width = engine.widths[l];
    const scheme = init === "auto" ? schemeOf(engine.activations[l - 1]) : init;
    const bound = Math.sqrt(3 * VARIANCES[scheme](below, width));
    engine.weights[l].set(randomUniform(seed, l - 1, below * width).map((u) => (2 * u - 1) * bound));
  }
}
