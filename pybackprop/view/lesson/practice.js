// More questions on the network of the lesson: the derivative in a weight, computed as everything on Walk, from
// the numbers that are there now; and the answers in which a factor of the chain rule is missing.

// Of the derivative in a weight, what comes out if something is left out or taken from the wrong place.
function slipsOfWeight({ layer, k, j }) {
  const now = example(), a = now.a[layer - 1][j], delta = now.delta[layer][k], whole = gradient(layer, k, j);
  const penalty = whole - delta * a, slips = [];
  const add = (value, text) => slips.push({ values: [value], text });
  add(delta + penalty, `The input a = ${rounded(a, 4)} beside the weight is missing.`);
  if (now.slope[layer] && now.pulled[layer]) slipsOfSlope({ layer, k, j }, add, penalty);
  if (layer < last && now.slope[layer]) slipsOfAbove({ layer, k, j }, add, penalty);
  if (k !== j && k < data.layers[layer - 1].shown.length && j < data.layers[layer].shown.length) {
    add(gradient(layer, j, k), "That is the transpose: in δ aᵀ, the row is the neuron above.");
  }
  if (penalty) {
    add(delta * a, "The penalty's part is missing.");
    add(penalty, "That is the penalty's part alone; δ a is missing.");
  }
  return slips.filter(({ values: [value] }) => Number.isFinite(value) && !agree([value], [whole]));
}

function slipsOfSlope({ layer, k, j }, add, penalty) {
  const now = example(), a = now.a[layer - 1][j], z = now.z[layer][k], slope = now.slope[layer][k], pulled = now.pulled[layer][k];
  const name = `${activation(layer)}′(z)`;
  add(pulled * a + penalty, `The slope ${name} = ${rounded(slope, 4)} is missing.`);
  if (activation(layer) === "tanh") add(pulled * (1 - z * z) * a + penalty, "The slope of tanh is 1 − a², and not 1 − z².");
  if (activation(layer) === "sigmoid") add(pulled * z * (1 - z) * a + penalty, "The slope of a sigmoid is a (1 − a), and not z (1 − z).");
  if (layer === last) add(slope * a + penalty, "The derivative of the loss is missing.");
}

// Of a hidden layer: the δ above, the weights between, and which way those are taken.
function slipsOfAbove({ layer, k, j }, add, penalty) {
  const now = example(), factor = now.slope[layer][k] * now.a[layer - 1][j], above = data.layers[layer + 1].shown;
  const sum = (term) => above.reduce((total, _, m) => total + term(m), 0);
  const delta = now.delta[layer + 1], pulled = now.pulled[layer + 1];
  add(factor * sum((m) => delta[m]) + penalty, "The weights of the layer above are missing.");
  add(factor * sum((m) => weight(layer + 1, m, k)) + penalty, "The δ of the layer above is missing.");
  if (now.slope[layer + 1] && pulled) {
    add(factor * sum((m) => weight(layer + 1, m, k) * pulled[m]) + penalty, `The slope ${activation(layer + 1)}′(z) of the layer above is missing.`);
  }
  if (above.length === data.layers[layer].shown.length) {
    add(factor * sum((m) => weight(layer + 1, k, m) * delta[m]) + penalty, "That takes W δ; going back takes the transpose, Wᵀδ.");
  }
}

// The question about a weight, with the numbers that are on the page now.
function questionOfWeight(place) {
  const { layer, k, j } = place, now = example(), whole = gradient(layer, k, j);
  const number = data.examples.length > 1 ? `, example ${state.example}` : "";
  const penalty = data.l2 || data.l1 ? penaltyText() : "";
  return {
    text: `What is ∂C/∂w of the weight from ${naming(layer - 1, j)} to ${naming(layer, k)} of layer ${layer}${number}? It is w = ${rounded(weight(layer, k, j), 4)}.`,
    answer: [whole],
    because: `δ a${penalty} with δ = ${rounded(now.delta[layer][k], 4)} and a = ${rounded(now.a[layer - 1][j], 4)}.`,
    slips: slipsOfWeight(place), choices: [],
    see: `tab=walk&step=${2 * last + 2 - layer}&example=${state.example}&weight=${layer}.${k}.${j}`,
  };
}

// A question of the lesson about a weight of the network: the answer is the page's own.
function askedOfWeight(question) {
  const [layer, k, j] = question.weight, place = { layer, k, j };
  return { ...question, answer: [gradient(layer, k, j)], slips: [...question.slips, ...slipsOfWeight(place)] };
}

// Walk is brought to the end of the forward pass, with the weight pinned: its derivative is still to come.
function practise(place, number) {
  goTo(`tab=walk&step=${last + 1}&example=${number}&weight=${place.layer}.${place.k}.${place.j}`);
  const asked = new QuestionBox("A weight", questionOfWeight(place), () => {});
  byId("asked").replaceChildren(asked.box);
  return asked;
}

const anyOf = (count) => Math.floor(Math.random() * count);

function anyWeight() {
  const layer = 1 + anyOf(last), k = anyOf(data.layers[layer].shown.length), j = anyOf(data.layers[layer - 1].shown.length);
  return { layer, k, j };
}

byId("practice").innerHTML = '<h2>Practise</h2><p class="note">Any weight of the network on Walk, with the numbers that are there now.</p>' +
  '<p><button type="button" id="another">ask about a weight</button></p><div id="asked"></div>';
byId("another").addEventListener("click", () => practise(anyWeight(), anyOf(data.examples.length)));
