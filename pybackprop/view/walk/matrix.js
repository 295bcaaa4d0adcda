// W and dC/dW of a layer as matrices: a row a neuron, a column an input. A mark is the larger, the larger the
// number; it is a disc above 0 and a square below (Hinton's diagram), so the sign shows without colour.

const MATRICES = [{ id: "matrix-w", name: "W" }, { id: "matrix-g", name: "∂C/∂W" }];

// Width and colours are kept, because asking for them in the middle of a step lays out the page once more.
const paper = { room: 0, plus: "", minus: "", focus: "" };

function measurePaper() {
  const style = getComputedStyle(document.documentElement);
  paper.room = byId("matrices").clientWidth - 4;
  for (const name of ["plus", "minus", "focus"]) paper[name] = style.getPropertyValue(`--${name}`);
  paintMatrices();
}

const matrixLayer = () => (state.pinned ? state.pinned.layer : Math.max(1, step().layer));

function matrixNumber(id, layer, k, j) {
  return id === "matrix-w" ? weight(layer, k, j) : gradient(layer, k, j);
}

// A cell's side, so that both matrices fit beside or below each other.
function cellSide(rows, columns) {
  return Math.max(3, Math.min(18, Math.floor(paper.room / columns), Math.floor(260 / rows)));
}

function paintMatrices() {
  if (!byId("matrix").open || paper.room <= 0) return;
  const layer = matrixLayer(), known = quantity(layer) === "delta";
  for (const { id, name } of MATRICES) {
    const visible = id === "matrix-w" || known, box = byId(id);
    box.parentElement.hidden = !visible;
    box.parentElement.querySelector("figcaption").innerHTML = `${name.replace("W", matrix("W", layer))}: ${sizesText(layer)}`;
    if (visible) paintMatrix(box, layer);
  }
}

// Rows and columns; of a larger matrix only those of the neurons that are drawn are here.
function sizesText(layer) {
  const [above, below] = [data.layers[layer], data.layers[layer - 1]], whole = `${above.width} × ${below.width}`;
  const drawn = `${above.shown.length} × ${below.shown.length}`;
  return drawn === whole ? whole : `${drawn} of ${whole}`;
}

function paintMatrix(canvas, layer) {
  const rows = data.layers[layer].shown.length, columns = data.layers[layer - 1].shown.length;
  const side = cellSide(rows, columns), ratio = window.devicePixelRatio || 1;
  sizeCanvas(canvas, columns * side, rows * side, ratio);
  canvas.setAttribute("aria-label", `matrix of ${rows} rows and ${columns} columns, layer ${layer}`);
  const numbers = data.layers[layer].shown.map((_, k) =>
    data.layers[layer - 1].shown.map((__, j) => matrixNumber(canvas.id, layer, k, j)));
  const largest = Math.max(...numbers.flat().map(Math.abs)) || 1, context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, columns * side, rows * side);
  numbers.forEach((row, k) => row.forEach((number, j) => {
    const color = number < 0 ? paper.minus : paper.plus;
    drawMark(context, number, (j + 0.5) * side, (k + 0.5) * side, (side - 1) * Math.sqrt(Math.abs(number) / largest), color);
  }));
  const { pinned } = state;
  if (!pinned || pinned.layer !== layer) return;
  context.strokeStyle = paper.focus;
  context.lineWidth = 2;
  context.strokeRect(pinned.j * side + 1, pinned.k * side + 1, side - 2, side - 2);
}

function sizeCanvas(canvas, width, height, ratio) {
  if (canvas.width === Math.round(width * ratio) && canvas.height === Math.round(height * ratio)) return;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
}

function drawMark(context, number, x, y, width, color) {
  context.fillStyle = color;
  if (number < 0) {
    // Of the area of the disc.
    const edge = width * Math.sqrt(Math.PI) / 2;
    context.fillRect(x - edge / 2, y - edge / 2, edge, edge);
    return;
  }
  context.beginPath();
  context.arc(x, y, width / 2, 0, 2 * Math.PI);
  context.fill();
}

// The weight at a point of a matrix.
function cellAt(event) {
  const layer = matrixLayer(), box = event.target.getBoundingClientRect();
  const rows = data.layers[layer].shown.length, columns = data.layers[layer - 1].shown.length;
  const at = (part, count) => Math.max(0, Math.min(count - 1, Math.floor(part * count)));
  return { layer, k: at((event.clientY - box.y) / box.height, rows), j: at((event.clientX - box.x) / box.width, columns) };
}

function listenToMatrices() {
  for (const { id } of MATRICES) {
    byId(id).addEventListener("click", (event) => pin(cellAt(event)));
    byId(id).addEventListener("pointermove", (event) => {
      const { layer, k, j } = cellAt(event);
      byId("matrix-cell").textContent = `${edgeName({ layer, k, j })}: ${exact(matrixNumber(id, layer, k, j))}`;
    });
    byId(id).addEventListener("pointerleave", () => { byId("matrix-cell").textContent = ""; });
  }
  byId("matrix").addEventListener("toggle", measurePaper);
  new ResizeObserver(measurePaper).observe(byId("matrices"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", measurePaper);
}
