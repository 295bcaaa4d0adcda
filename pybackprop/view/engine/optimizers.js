// The update rules, with the names and settings of the package and of PyTorch. Each takes the settings and
// the number of parameters, and returns a function that changes w by the gradient g. Settings are read at every
// step, so that a rate can be changed on the way.

const OPTIMIZERS = {
  sgd: (settings, count) => {
    const velocity = new Float64Array(settings.momentum ? count : 0);
    let first = true;
    return (w, g) => {
      const { lr, momentum = 0, nesterov = false, weight_decay = 0 } = settings;
      for (let i = 0; i < w.length; i++) {
        let d = g[i] + weight_decay * w[i];
        if (momentum) {
          velocity[i] = first ? d : momentum * velocity[i] + d;
          d = nesterov ? d + momentum * velocity[i] : velocity[i];
        }
        w[i] -= lr * d;
      }
      first = false;
    };
  },
  adam: (settings, count) => adaptive(settings, count, ({ weight_decay = 0 }) => [weight_decay, 0]),
  // The weights decay apart from the gradient.
  adamw: (settings, count) => adaptive(settings, count, ({ lr, weight_decay = 0.01 }) => [0, lr * weight_decay]),
  rmsprop: (settings, count) => {
    const square = new Float64Array(count);
    return (w, g) => {
      const { lr, alpha = 0.99, eps = 1e-8, weight_decay = 0 } = settings;
      for (let i = 0; i < w.length; i++) {
        const d = g[i] + weight_decay * w[i];
        square[i] = alpha * square[i] + (1 - alpha) * d * d;
        w[i] -= lr * d / (Math.sqrt(square[i]) + eps);
      }
    };
  },
  adagrad: (settings, count) => {
    const sum = new Float64Array(count);
    let t = 0;
    return (w, g) => {
      const { lr, lr_decay = 0, eps = 1e-10, weight_decay = 0 } = settings, rate = lr / (1 + t++ * lr_decay);
      for (let i = 0; i < w.length; i++) {
        const d = g[i] + weight_decay * w[i];
        sum[i] += d * d;
        w[i] -= rate * d / (Math.sqrt(sum[i]) + eps);
      }
    };
  },
};

// `decays` says what is added to the gradient, and by what share the weights shrink.
function adaptive(settings, count, decays) {
  const mean = new Float64Array(count), square = new Float64Array(count);
  let t = 0;
  return (w, g) => {
    t++;
    const { lr, betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8 } = settings, [added, shrink] = decays(settings);
    const rate = lr / (1 - beta1 ** t), scale = 1 / (1 - beta2 ** t);
    for (let i = 0; i < w.length; i++) {
      const d = g[i] + added * w[i];
      mean[i] += (1 - beta1) * (d - mean[i]);
      square[i] = beta2 * square[i] + (1 - beta2) * d * d;
      w[i] = w[i] * (1 - shrink) - rate * mean[i] / (Math.sqrt(square[i] * scale) + eps);
    }
  };
}
