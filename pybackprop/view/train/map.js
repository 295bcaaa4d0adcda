// For two inputs: what a network answers all over the plane of its inputs, with the examples on it.

const CELLS = 56;
// The middles of the cells, row by row from the top, and the range that they cover.
function makeGrid({ x }) {
  const range = [0, 1].map((axis) => {
    const values = x.filter((_, at) => at % 2 === axis);
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const margin = 0.08 * (high - low) || 1;
    return [low - margin, high + margin];
  });
  const cells = new Float64Array(2 * CELLS * CELLS);
  const at = ([low, high], part) => low + (high - low) * part;
  for (let i = 0; i < CELLS * CELLS; i++) {
    cells[2 * i] = at(range[0], (i % CELLS + 0.5) / CELLS);
    cells[2 * i + 1] = at(range[1], 1 - (Math.floor(i / CELLS) + 0.5) / CELLS);
  }
  return { range, cells };
}

const isOfClasses = () => data.loss.endsWith("cross_entropy");

// The colour of an output, as red, green, blue; stronger, the surer or the further from the middle.
function shade(values, row, width, middle, spread) {
  if (width > 1 && isOfClasses()) {
    const best = classOf(values, row, width), sure = (values[row * width + best] - 1 / width) / (1 - 1 / width);
    return mix(PALETTE[best % PALETTE.length], sure);
  }
  const far = (values[row * width] - middle) / spread;
  return mix(far < 0 ? "#e69f00" : "#0072b2", Math.min(1, Math.abs(far)));
}

// A colour on white, between pale and strong.
function mix(color, share) {
  const part = 0.1 + 0.7 * Math.max(0, Math.min(1, share));
  return [1, 3, 5].map((at) => 255 - part * (255 - Number.parseInt(color.slice(at, at + 2), 16)));
}

// The middle of the targets of one output, and how far they lie from it.
function middleOfTargets({ y }, width) {
  if (isOfClasses()) return [0.5, 0.5];
  const first = y.filter((_, at) => at % width === 0), mean = first.reduce((a, b) => a + b, 0) / first.length;
  return [mean, Math.max(...first.map((value) => Math.abs(value - mean))) || 1];
}

function paintMap(canvas, run, grid) {
  const { engine, rows } = run, width = engine.widths[last], context = canvas.getContext("2d");
  const outputs = engine.forward(grid.cells, CELLS * CELLS), [middle, spread] = middleOfTargets(rows.learnt, width);
  const image = new ImageData(CELLS, CELLS), small = new OffscreenCanvas(CELLS, CELLS);
  for (let i = 0; i < CELLS * CELLS; i++) image.data.set([...shade(outputs, i, width, middle, spread), 255], 4 * i);
  small.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  paintPoints(context, canvas, rows.learnt, grid, width, middle);
}

// Each example by its class: a disc, a square, or from the third on its number.
function paintPoints(context, canvas, { x, y, rows }, { range }, width, middle) {
  const at = ([low, high], number) => (number - low) / (high - low);
  context.font = "bold 11px system-ui, sans-serif";
  context.textAlign = "center";
  for (let row = 0; row < rows; row++) {
    const left = at(range[0], x[2 * row]) * canvas.width, top = (1 - at(range[1], x[2 * row + 1])) * canvas.height;
    const kind = isOfClasses() ? classOf(y, row, width) : y[row * width] > middle ? 1 : 0;
    context.fillStyle = "#111";
    context.strokeStyle = "#fff";
    context.beginPath();
    if (kind === 0) context.rect(left - 3, top - 3, 6, 6);
    else if (kind === 1) context.arc(left, top, 3.5, 0, 2 * Math.PI);
    else context.fillText(`${kind}`, left, top + 4);
    context.stroke();
    context.fill();
  }
}
