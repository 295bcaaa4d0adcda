// A descent as a picture: contours, the paths of several rules and rates, and the rates beside 2/λ.

const LEVELS = 14;
const FRAME = { left: 46, right: 12, top: 10, bottom: 34 };
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "1 4", "12 4", "6 2 1 2"];

const RULE_NAMES = {
  sgd: "gradient descent", momentum: "momentum 0.9", nesterov: "Nesterov 0.9", adam: "Adam", rmsprop: "RMSprop", adagrad: "Adagrad",
};
const runName = ({ rule, rate }) => `${RULE_NAMES[rule] || rule}, rate ${rounded(rate, 4)}`;

// Whether the values still rise at the end: beyond 2/λ the steps of gradient descent grow.
function verdictOf({ values }) {
  const end = values.at(-1), before = values[Math.floor(0.75 * (values.length - 1))], scale = Math.abs(values[0]) * 1e-9;
  return !Number.isFinite(end) || end > before + scale ? "diverges" : "converges";
}

const inkOf = (at) => ({ stroke: PALETTE[at % PALETTE.length], "stroke-dasharray": DASHES[at % DASHES.length] });

class DescentPicture {
  // `surface`: { names, grid: { count, values }, range: [[low, high], [low, high]], runs, limit }, where a run is
  // { rule, rate, path, values } and the limit { eigenvalues, at, rate }, or null where nothing bends upward.
  constructor(box, onStart = null) {
    Object.assign(this, { box, onStart, shown: null, surface: null, step: 0 });
    box.innerHTML = '<div class="descent"><div><svg class="plane" role="img"></svg>' +
      '<p class="steps"><button type="button" class="play">▶ play</button> <input type="range" min="0" step="1" aria-label="steps">' +
      ' <output></output></p></div><div><table class="runs"></table><h3>Rates of gradient descent, and 2/λ</h3>' +
      '<svg class="rates" role="img"></svg><p class="limit note"></p></div></div>';
    this.part("input").addEventListener("input", (event) => this.walk(Number(event.target.value)));
    this.part(".play").addEventListener("click", () => this.play());
    if (onStart) this.part(".plane").addEventListener("click", (event) => this.startAt(event));
    new ResizeObserver(() => this.paint()).observe(box);
  }

  part(selector) {
    return this.box.querySelector(selector);
  }

  // Another surface, or other runs on it; all are shown to the last step.
  show(surface) {
    if (!this.shown || this.shown.length !== surface.runs.length) this.shown = surface.runs.map(() => true);
    this.surface = surface;
    this.most = Math.max(...surface.runs.map(({ path }) => path.length - 1));
    this.step = this.most;
    this.part("input").max = this.most;
    this.paint();
  }

  walk(step) {
    this.step = step;
    this.paintPaths();
  }

  // From the start, or from where it was stopped; pressed again it stops.
  play() {
    this.playing = !this.playing;
    if (this.playing && this.step >= this.most) this.step = 0;
    this.part(".play").textContent = this.playing ? "❚❚ pause" : "▶ play";
    if (this.playing) requestAnimationFrame(() => this.frame());
  }

  frame() {
    if (!this.playing) return;
    this.walk(Math.min(this.most, this.step + 1));
    if (this.step >= this.most) this.play();
    else setTimeout(() => this.frame(), 60);
  }

  // From the plane of the function to the picture, and back.
  point([x, y]) {
    const { left, right, top, bottom } = FRAME, [[x0, x1], [y0, y1]] = this.surface.range;
    // A path that has run away is drawn as far as a picture can hold it.
    const held = (number) => Math.max(-1e5, Math.min(1e5, number));
    return [held(left + (this.width - left - right) * (x - x0) / (x1 - x0)), held(top + (this.height - top - bottom) * (y1 - y) / (y1 - y0))];
  }

  startAt(event) {
    const box = this.part(".plane").getBoundingClientRect(), { left, right, top, bottom } = FRAME, [[x0, x1], [y0, y1]] = this.surface.range;
    const across = (event.clientX - box.x - left) / (this.width - left - right), up = 1 - (event.clientY - box.y - top) / (this.height - top - bottom);
    if (across >= 0 && across <= 1 && up >= 0 && up <= 1) this.onStart([x0 + across * (x1 - x0), y0 + up * (y1 - y0)]);
  }

  paint() {
    if (!this.surface || !this.part(".plane").clientWidth) return;
    const plane = this.part(".plane");
    this.height = Math.min(520, Math.round(0.85 * plane.clientWidth));
    this.width = widen(plane, this.height);
    const clip = svg("clipPath", { id: `${this.box.id}-frame` });
    const { left, right, top, bottom } = FRAME;
    clip.append(svg("rect", { x: left, y: top, width: this.width - left - right, height: this.height - top - bottom }));
    this.paths = svg("g", { "clip-path": `url(#${this.box.id}-frame)` });
    plane.replaceChildren(clip, ...this.contours(), ...this.axes(), this.paths);
    this.paintRuns();
    this.paintRates();
    this.paintPaths();
  }

  contours() {
    const { grid: { values, count }, range: [[x0, x1], [y0, y1]] } = this.surface;
    const place = (column, row) => this.point([x0 + column / (count - 1) * (x1 - x0), y0 + row / (count - 1) * (y1 - y0)])
      .map((number) => number.toFixed(1)).join(" ");
    return contourLevels(values, LEVELS).map((level, at) => {
      const line = svg("path", { class: "contour", d: contourPath(values, count, level, place), "stroke-opacity": 1 - 0.6 * at / LEVELS });
      line.append(svg("title", {}, rounded(level, 3)));
      return line;
    });
  }

  axes() {
    const { left, right, top, bottom } = FRAME, { names, range: [[x0, x1], [y0, y1]] } = this.surface, low = this.height - bottom;
    const text = (x, y, content, anchor) => svg("text", { class: "tick", x, y, "text-anchor": anchor }, content);
    return [
      svg("rect", { class: "frame", x: left, y: top, width: this.width - left - right, height: low - top }),
      text(left, low + 14, rounded(x0, 2), "start"), text(this.width - right, low + 14, rounded(x1, 2), "end"),
      text((left + this.width - right) / 2, low + 28, names[0], "middle"),
      text(left - 5, low, rounded(y0, 2), "end"), text(left - 5, top + 10, rounded(y1, 2), "end"),
      text(left - 5, (top + low) / 2, names[1].length > 5 ? "" : names[1], "end"),
      ...(names[1].length > 5 ? [this.upright(names[1], (top + low) / 2)] : []),
    ];
  }

  // A long name of the axis upward runs along it.
  upright(name, middle) {
    return svg("text", { class: "tick", x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, name);
  }

  paintPaths() {
    const { runs } = this.surface;
    this.paths.replaceChildren(...runs.flatMap((run, at) => (this.shown[at] ? this.pathOf(run, at) : [])));
    this.part("input").value = this.step;
    this.part("output").textContent = `step ${this.step} of ${this.most}`;
    [...this.part(".runs").querySelectorAll(".value")].forEach((cell, at) => {
      cell.textContent = rounded(runs[at].values[Math.min(this.step, runs[at].values.length - 1)], 3);
    });
  }

  pathOf(run, at) {
    const points = run.path.slice(0, this.step + 1).map((point) => this.point(point).map((number) => number.toFixed(1)));
    const [x, y] = points.at(-1), ink = inkOf(at);
    return [
      svg("path", { class: "path-of-run", d: `M${points.map((point) => point.join(" ")).join("L")}`, ...ink }),
      ...points.slice(0, -1).map(([u, v]) => svg("circle", { cx: u, cy: v, r: 1.8, fill: ink.stroke })),
      svg("circle", { class: "end", cx: x, cy: y, r: 8, fill: ink.stroke }),
      svg("text", { class: "end-number", x, y: Number(y) + 4 }, `${at + 1}`),
    ];
  }

  // The runs: which are shown, what they have reached, and where they lead.
  paintRuns() {
    const rows = this.surface.runs.map((run, at) =>
      `<tr><td><label><input type="checkbox" data-run="${at}"${this.shown[at] ? " checked" : ""}> ` +
      `<svg class="swatch-line" viewBox="0 0 30 10" aria-hidden="true"><path d="M0 5H30" stroke="${inkOf(at).stroke}" stroke-dasharray="${inkOf(at)["stroke-dasharray"]}"/></svg> ` +
      `${at + 1}: ${escaped(runName(run))}</label></td><td class="value"></td><td>${verdictOf(run)}</td></tr>`);
    this.part(".runs").innerHTML = `<thead><tr><th>path</th><th>value</th><th>in the end</th></tr></thead><tbody>${rows.join("")}</tbody>`;
    for (const box of this.part(".runs").querySelectorAll("input")) {
      box.addEventListener("change", () => {
        this.shown[Number(box.dataset.run)] = box.checked;
        this.paintPaths();
      });
    }
  }

  // Rates of plain gradient descent on a logarithmic axis, a disc where it converges and a cross where not.
  paintRates() {
    const chart = this.part(".rates"), width = widen(chart, 78), { limit, runs } = this.surface;
    const plain = runs.filter(({ rule }) => rule === "sgd"), all = [...plain.map(({ rate }) => rate), ...(limit ? [limit.rate] : [])];
    const low = Math.log10(Math.min(...all)) - 0.15, high = Math.log10(Math.max(...all)) + 0.15;
    const x = (rate) => 20 + (width - 40) * (Math.log10(rate) - low) / (high - low);
    const parts = [svg("line", { class: "axis", x1: 10, x2: width - 10, y1: 44, y2: 44 })];
    if (limit) {
      parts.push(svg("line", { class: "two-by-lambda", x1: x(limit.rate), x2: x(limit.rate), y1: 20, y2: 60 }));
      const anchor = x(limit.rate) > width / 2 ? "end" : "start";
      parts.push(svg("text", { class: "tick", x: x(limit.rate), y: 14, "text-anchor": anchor }, `2/λ = ${rounded(limit.rate, 4)}`));
    }
    for (const run of plain) {
      const good = verdictOf(run) === "converges", number = runs.indexOf(run) + 1;
      parts.push(good
        ? svg("circle", { class: "good", cx: x(run.rate), cy: 44, r: 5 })
        : svg("path", { class: "bad", d: `M${x(run.rate) - 5} 39l10 10m0-10l-10 10` }));
      parts.push(svg("text", { class: "tick", ...besideLimit(x(run.rate), limit && x(limit.rate)), y: number % 2 ? 34 : 64 }, `${number}`));
    }
    chart.replaceChildren(...parts);
    chart.setAttribute("aria-label", plain.map((run) => `rate ${run.rate} ${verdictOf(run)}`).join(", "));
    this.part(".limit").textContent = this.limitText();
  }

  limitText() {
    const { limit, names } = this.surface;
    if (!limit) return "Nothing bends upward here, so no rate is too large by this rule.";
    const place = limit.at.map((number, at) => `${names[at]} = ${rounded(number, 3)}`).join(", ");
    return `At ${place} the Hessian has the eigenvalues ${limit.eigenvalues.map((each) => rounded(each, 4)).join(" and ")}. ` +
      `Gradient descent converges there below the rate 2/λ = ${rounded(limit.rate, 4)}, of the largest of them: ● converges, ✕ diverges.`;
  }
}

// Where the number of a rate goes: above or below it, but beside the line of 2/λ where that is close.
function besideLimit(x, line) {
  if (line === null || Math.abs(x - line) > 12) return { x, "text-anchor": "middle" };
  return x < line ? { x: Math.min(x, line - 4), "text-anchor": "end" } : { x: Math.max(x, line + 4), "text-anchor": "start" };
}

// Eigenvalues of a symmetric matrix of two rows, the larger first.
function eigenvaluesOf([[a, b], [, d]]) {
  const middle = (a + d) / 2, spread = Math.hypot((a - d) / 2, b);
  return [middle + spread, middle - spread];
}

function limitOf(hessian, at) {
  const eigenvalues = eigenvaluesOf(hessian);
  return eigenvalues[0] > 0 ? { eigenvalues, at, rate: 2 / eigenvalues[0] } : null;
}
