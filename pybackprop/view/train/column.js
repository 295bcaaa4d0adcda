// One of the networks side by side: its choices, its figures and its charts.

const RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
const STARTS = { auto: "auto", he: "He", glorot: "Glorot", lecun: "LeCun", zeros: "all 0", given: "as given" };

function columnHtml(letter, own) {
  const choice = (name, label, entries) =>
    `<label>${label} <select data-own="${name}">${optionsOf(entries, own[name])}</select></label>`;
  const activations = [["given", "as given"], ...Object.keys(ACTIVATIONS).map((name) => [name, name])];
  const bars = (name, title) => `<h3>${title}</h3><svg class="bars" data-bars="${name}" role="img" ` +
    `aria-label="${title.replace(/<[^>]*>/g, "")}"></svg>`;
  const map = data.layers[0].width === 2
    ? '<h3>Outputs over the two inputs</h3><canvas class="map" width="320" height="320" role="img" aria-label="map of the outputs"></canvas>' : "";
  return `<h2>Network ${letter}</h2><p class="controls">` +
    choice("lr", "rate", RATES.map((rate) => [rate, rounded(rate, 1)])) +
    choice("activation", "hidden layers", activations) + choice("init", "start", Object.entries(STARTS)) +
    choice("seed", "seed", [0, 1, 2, 3, 4].map((seed) => [seed, seed])) + "</p>" +
    '<p class="figures" aria-live="off"></p>' +
    '<div class="charts"><div><h3>Cost</h3><svg class="chart" role="img"></svg>' + `${map}</div><div>` +
    bars("delta", "|<b>δ</b>| of each layer, beside the output's") +
    bars("update", "Last update of <b>W</b>, beside |<b>W</b>|") + "</div></div>";
}

class Column {
  constructor(letter, own, shared, rows) {
    this.run = new Run(own, shared, rows);
    this.box = document.createElement("section");
    this.box.className = "column";
    this.box.setAttribute("aria-label", `network ${letter}`);
    this.box.innerHTML = columnHtml(letter, own);
    this.grid = data.layers[0].width === 2 ? makeGrid(rows.learnt) : null;
  }

  part(selector) {
    return this.box.querySelector(selector);
  }

  paint(range) {
    const { run } = this;
    this.part(".figures").innerHTML = figures(run);
    paintCurve(this.part(".chart"), run, range);
    for (const chart of this.box.querySelectorAll(".bars")) paintBars(chart, run, chart.dataset.bars);
    if (this.grid) paintMap(this.part(".map"), run, this.grid);
  }
}

const percent = (share) => `${(100 * share).toFixed(share === 1 ? 0 : 1)} %`;

function figures(run) {
  if (!run.isFinite) {
    return `<strong>The cost is not finite after ${run.steps.toLocaleString("en")} steps.</strong> Rewind, and take a lower rate.`;
  }
  const parts = [`step ${run.steps.toLocaleString("en")}, epoch ${run.epoch}`, `C ${rounded(run.cost, 4)}`];
  if (run.right !== null) parts[1] += `, ${percent(run.right)} right`;
  if (run.rows.held.rows) {
    parts.push(`held out: C ${rounded(run.heldCost, 4)}${run.right === null ? "" : `, ${percent(run.heldRight)} right`}`);
  }
  return parts.map((part) => `<span>${part}</span>`).join(" ");
}
