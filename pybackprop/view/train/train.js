// The tab Train: one network or two learn from the same batches, step by step or on their own.

const BATCHES = [1, 4, 16, 32, 64, 256], PENALTIES = [0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1];
// How many steps between two pictures; 0: as many as there is time for.
const SPEEDS = [[1, "1 step a picture"], [10, "10 steps a picture"], [0, "as fast as it can"]];
const BUDGET_MS = 12;

const school = { columns: [], shared: { rule: "adam", batch: 16, l2: data.l2 }, speed: 10, rows: null, playing: false };

function trainHtml() {
  const penalties = [...new Set([...PENALTIES, data.l2])].sort((a, b) => a - b);
  const choice = (id, label, entries, chosen) =>
    `<label>${label} <select id="${id}">${optionsOf(entries, chosen)}</select></label>`;
  return '<p class="controls"><button type="button" id="play">▶ play</button> <button type="button" id="one">one step</button> ' +
    '<button type="button" id="rewind">rewind</button> ' +
    choice("speed", "speed", SPEEDS, school.speed) +
    choice("rule", "optimizer", Object.entries(RULES).map(([key, { name }]) => [key, name]), school.shared.rule) +
    choice("batch", "batch", BATCHES.map((size) => [size, size]), school.shared.batch) +
    choice("l2", "l2", penalties.map((l2) => [l2, l2]), school.shared.l2) +
    '<label><input type="checkbox" id="compare"> two side by side</label></p>' +
    `<p class="note">${trainNote()}</p><div id="columns"></div>` +
    "<footer>Keys: <kbd>P</kbd> play or pause, <kbd>S</kbd> one step, <kbd>R</kbd> rewind to the same start. " +
    "Solid line: cost of the examples learnt from; dashed: of those held out. A bar beyond the outer limits is marked ✗. " +
    "Rate, optimizer and l2 can be changed on the way; another start or activation rewinds.</footer>";
}

function trainNote() {
  const { learnt, held } = school.rows;
  return `${learnt.rows} examples to learn from${held.rows ? `, ${held.rows} held out` : ""}, in float64. ` +
    "Two side by side see the same batches." + (data.dropout ? " Dropout is left out." : "") +
    (data.rates ? " The layers' factors of rates are left out." : "") +
    (data.scales ? " The factors of the inputs are part of the weights, and not trained by themselves." : "");
}

// Made when the tab first comes up.
function buildTrain() {
  if (!canLearn) {
    byId("train").innerHTML = `<p class="note">This network cannot learn in the page: ${escaped(data.learning.reason)}. ` +
      "<code>net.fit</code> trains it.</p>";
    return;
  }
  school.rows = splitRows(live.rows, data.layers[0].width, data.layers[last].width);
  byId("train").innerHTML = trainHtml();
  new ResizeObserver(paintTrain).observe(byId("columns"));
  addColumn("A", { activation: "given", init: "auto", seed: 0, lr: 0.01, ...data.train });
  listenToTrain();
  paintTrain();
}

function addColumn(letter, own) {
  const column = new Column(letter, own, school.shared, school.rows);
  school.columns.push(column);
  byId("columns").append(column.box);
  for (const select of column.box.querySelectorAll("[data-own]")) {
    select.addEventListener("change", () => changeOwn(column, select.dataset.own, select.value));
  }
}

// The second network starts out as the first but for the activation, so that there is something to see.
function compare(wanted) {
  if (wanted) {
    const { activation } = school.columns[0].run.own, first = data.layers[1].act;
    const other = activation === "given" && first !== "sigmoid" ? "sigmoid" : "given";
    addColumn("B", { ...school.columns[0].run.own, activation: other });
    rewindAll();
  } else {
    school.columns.pop().box.remove();
    paintTrain();
  }
}

function changeOwn({ run }, name, value) {
  if (name === "lr") run.setRate(Number(value));
  else {
    run.own[name] = name === "seed" ? Number(value) : value;
    rewindAll();
  }
}

function changeShared(name, value) {
  school.shared[name] = name === "rule" ? value : Number(value);
  for (const { run } of school.columns) {
    if (name === "l2") run.engine.l2 = school.shared.l2;
    if (name === "rule") run.takeRule();
  }
}

const allFinite = () => school.columns.every(({ run }) => run.isFinite);

function stepAll(count) {
  const end = performance.now() + BUDGET_MS;
  for (let done = 0; count ? done < count : performance.now() < end; done++) {
    for (const { run } of school.columns) run.step();
  }
  for (const { run } of school.columns) run.measure();
}

function rewindAll() {
  for (const { run } of school.columns) run.rewind();
  paintTrain();
}

function oneStep() {
  play(false);
  if (allFinite()) stepAll(1);
  paintTrain();
}

function paintTrain() {
  const range = curveRange(school.columns.map(({ run }) => run));
  for (const column of school.columns) column.paint(range);
}

function play(wanted) {
  if (wanted === school.playing) return;
  school.playing = wanted;
  byId("play").textContent = wanted ? "❚❚ pause" : "▶ play";
  if (wanted) requestAnimationFrame(frame);
}

function frame() {
  if (!school.playing) return;
  if (!allFinite()) {
    play(false);
    return;
  }
  stepAll(school.speed);
  paintTrain();
  requestAnimationFrame(frame);
}

function onTrainKey(event) {
  if (tabs.current !== "train" || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches("select") || isWritten(event.target)) return;
  const act = { p: () => play(!school.playing), s: oneStep, r: rewindAll }[event.key.toLowerCase()];
  if (act) act();
}

function listenToTrain() {
  byId("play").addEventListener("click", () => play(!school.playing));
  byId("one").addEventListener("click", oneStep);
  byId("rewind").addEventListener("click", rewindAll);
  byId("speed").addEventListener("change", (event) => { school.speed = Number(event.target.value); });
  for (const name of ["rule", "batch", "l2"]) byId(name).addEventListener("change", (event) => changeShared(name, event.target.value));
  byId("compare").addEventListener("change", (event) => compare(event.target.checked));
  document.addEventListener("keydown", onTrainKey);
}

tabs.enter.train = () => {
  if (!byId("train").firstChild) buildTrain();
  writeAddress();
};
tabs.leave.train = () => { if (canLearn) play(false); };
