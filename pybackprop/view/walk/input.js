// What the pointer and the keys do. Whichever came last decides what the panel shows.

const moved = { x: NaN, y: NaN };

// The neuron that an element of the page is or belongs to, and the weight.
function neuronOf(target) {
  const group = target.closest(".neuron");
  if (!group) return null;
  const [layer, at] = group.id.slice(1).split("-").map(Number);
  return { layer, at };
}

function edgeOf(target) {
  const edge = target.closest(".edge");
  if (!edge) return null;
  const [layer, k, j] = edge.id.slice(1).split("-").map(Number);
  return { layer, k, j };
}

// The neuron or, failing that, the nearest weight within reach of a point of the window.
function placeAt(target, clientX, clientY, reach) {
  const neuron = neuronOf(target);
  if (neuron) return neuron;
  const box = picture.getBoundingClientRect(), scale = WIDTH / box.width;
  const x = (clientX - box.x) * scale, y = (clientY - box.y) * scale;
  let best = null, least = reach * scale;
  for (let layer = 1; layer <= last; layer++) {
    if (x < columnX(layer - 1) || x > columnX(layer)) continue;
    edges[layer].forEach((row, k) => row.forEach((_, j) => {
      const far = distance(x, y, edgeEnds(layer, k, j));
      if (far < least) [best, least] = [{ layer, k, j }, far];
    }));
  }
  return best;
}

function distance(x, y, { x1, y1, x2, y2 }) {
  const dx = x2 - x1, dy = y2 - y1;
  const along = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)));
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}

const isSame = (a, b) => a === b || (a && b && a.layer === b.layer && a.at === b.at && a.k === b.k && a.j === b.j);

// A mouse points only while it moves: not where the picture moves under it, nor after a key.
function onMove(event) {
  if (event.pointerType === "touch" || (event.clientX === moved.x && event.clientY === moved.y)) return;
  [moved.x, moved.y] = [event.clientX, event.clientY];
  point(placeAt(event.target, event.clientX, event.clientY, 5));
}

function point(place) {
  if (isSame(place, state.pointed)) return;
  state.pointed = place;
  if (!state.pinned) refresh();
}

// A fingertip is wider than a mouse's point.
function onClick(event) {
  const place = placeAt(event.target, event.clientX, event.clientY, event.pointerType === "touch" ? 14 : 5);
  if (place && !isEdge(place)) choose(place);
  else if (place && !isSame(place, state.pinned)) focusEdge(place.layer, place.k, place.j);
  else if (state.pinned) release();
}

function focusNeuron(layer, at) {
  const count = data.layers[layer].shown.length;
  neurons[layer][Math.max(0, Math.min(count - 1, at))].group.focus();
  reveal(layer);
  return true;
}

function focusEdge(layer, k, j) {
  const count = data.layers[layer - 1].shown.length;
  const place = { layer, k, j: Math.max(0, Math.min(count - 1, j)) };
  edges[layer][k][place.j].focus({ preventScroll: true });
  // An edge that has the focus already does not get it anew.
  pin(place);
  return true;
}

function neuronKey(event) {
  // What is chosen is forgotten from step to step, while the neuron keeps the focus.
  const place = neuronOf(event.target);
  if (!place) return false;
  const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const across = event.shiftKey ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : undefined;
  if (event.key === "Enter" || event.key === " ") {
    return place.layer > 0 ? focusEdge(place.layer, place.at, 0) : focusEdge(1, 0, place.at);
  }
  if (!down && !across) return false;
  return focusNeuron(Math.max(0, Math.min(last, place.layer + (across || 0))), place.at + (down || 0));
}

// Along the weights into one neuron, Enter or Space to pin or let go, and with Shift to the neuron at either end.
function edgeKey(event) {
  if (event.key === "Escape" && state.pinned) {
    release();
    return true;
  }
  const place = edgeOf(event.target);
  if (!place) return false;
  const { layer, k, j } = place;
  if (event.key === "Enter" || event.key === " ") {
    if (isSame(place, state.pinned)) release();
    else pin(place);
    return true;
  }
  const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (down) return focusEdge(layer, k, j + down);
  if (!event.shiftKey) return false;
  if (event.key === "ArrowLeft") return focusNeuron(layer - 1, j);
  return event.key === "ArrowRight" ? focusNeuron(layer, k) : false;
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || byId("walk").hidden || isWritten(event.target)) return;
  let used = edgeKey(event) || neuronKey(event);
  if (!used && !event.shiftKey && !event.target.matches("input, select")) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) {
      walk(state.step + move);
      used = true;
    }
  }
  const other = { "[": -1, "]": 1 }[event.key];
  if (other) {
    pick(state.example + other);
    used = true;
  }
  if (used) event.preventDefault();
}

function listen() {
  byId("slider").max = steps.length - 1;
  byId("slider").addEventListener("input", (event) => walk(Number(event.target.value)));
  byId("back").addEventListener("click", () => walk(state.step - 1));
  byId("on").addEventListener("click", () => walk(state.step + 1));
  picture.addEventListener("pointermove", onMove);
  picture.addEventListener("pointerleave", () => point(null));
  picture.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  listenToTune();
  listenToMatrices();
}
