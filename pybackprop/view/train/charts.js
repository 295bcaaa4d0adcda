// The charts of a network that learns: its costs over the steps, and a bar for each layer, on logarithmic axes.

const CHART = { height: 190, left: 52, right: 12, top: 10, bottom: 26 };

// Powers of ten within a range of logarithms; if there are none, its ends.
function decades(low, high) {
  const every = Math.max(1, Math.ceil((high - low) / 5)), found = [];
  for (let power = Math.ceil(low); power <= high; power++) if (power % every === 0) found.push(power);
  return found.length > 1 ? found : [low, high];
}

const powerText = (power) => rounded(10 ** power, 2);

// The range of several curves together, so that two networks can be compared by eye.
function curveRange(runs) {
  const costs = runs.flatMap(({ curve }) => curve.flatMap(({ cost, held }) => [cost, held])).filter((c) => c > 0 && c < Infinity);
  const low = Math.log10(Math.min(...costs)), high = Math.log10(Math.max(...costs));
  const steps = Math.max(10, ...runs.map((run) => run.steps));
  if (!costs.length) return { low: -1, high: 0, steps };
  const margin = Math.max(0.05, 0.05 * (high - low));
  return { low: low - margin, high: high + margin, steps };
}

function paintCurve(chart, run, { low, high, steps }) {
  const { height, left, right, top, bottom } = CHART, width = widen(chart, height);
  const x = (step) => left + (width - left - right) * step / steps;
  const y = (cost) => top + (height - top - bottom) * (high - Math.log10(cost)) / (high - low);
  const line = (key) => run.curve.filter((point) => point[key] > 0 && point[key] < Infinity)
    .map((point, at) => `${at ? "L" : "M"}${x(point.step).toFixed(1)} ${y(point[key]).toFixed(1)}`).join("");
  const ticks = decades(low, high).flatMap((power) => [
    svg("line", { class: "grid", x1: left, x2: width - right, y1: y(10 ** power), y2: y(10 ** power) }),
    svg("text", { class: "tick", x: left - 5, y: y(10 ** power) + 4, "text-anchor": "end" }, powerText(power)),
  ]);
  chart.replaceChildren(
    ...ticks,
    svg("text", { class: "tick", x: left, y: height - 8 }, "0"),
    svg("text", { class: "tick", x: width - right, y: height - 8, "text-anchor": "end" }, `${steps.toLocaleString("en")} steps`),
    svg("path", { class: "curve held", d: line("held") }),
    svg("path", { class: "curve", d: line("cost") }),
  );
  chart.setAttribute("aria-label", `cost over ${run.steps} steps, now ${rounded(run.cost, 4)}`);
}

// What the bars of the layers show. Outside the outer limits something is wrong.
const BARS = {
  delta: { low: -6, high: 4, digits: 2, of: (run, at) => run.layers[at].delta / run.layers.at(-1).delta },
  update: { low: -8, high: 2, digits: 2, of: (run, at) => run.layers[at].update },
};
const BAR = { row: 20, left: 52, right: 74, top: 20 };

function paintBars(chart, run, name) {
  const { low, high, digits, of } = BARS[name], { row, left, right, top } = BAR;
  const limits = data.learning.limits[name], count = data.layers.length - 1, bottom = top + count * row;
  const width = widen(chart, bottom + 6);
  const x = (number) => left + (width - left - right) * (Math.max(low, Math.min(high, Math.log10(number))) - low) / (high - low);
  const parts = limits.flatMap((limit) => [
    svg("line", { class: "limit", x1: x(limit), x2: x(limit), y1: top - 4, y2: bottom }),
    svg("text", { class: "tick", x: x(limit), y: top - 8, "text-anchor": "middle" }, rounded(limit, 2)),
  ]);
  for (let at = 0; at < count; at++) {
    const y = top + at * row, number = run.layers ? of(run, at) : NaN;
    parts.push(svg("text", { class: "tick", x: left - 5, y: y + 14, "text-anchor": "end" }, `layer ${at + 1}`));
    if (!Number.isFinite(number)) continue;
    const wrong = number < limits[0] ? "too small" : number > limits.at(-1) ? "too large" : "";
    parts.push(
      svg("rect", { class: wrong ? "layer-bar wrong" : "layer-bar", x: left, y: y + 3, height: row - 7, width: Math.max(1, x(number) - left) }),
      svg("text", { class: "tick", x: width - right + 6, y: y + 14 }, `${rounded(number, digits)}${wrong ? " ✗" : ""}`),
    );
  }
  chart.replaceChildren(...parts);
}
