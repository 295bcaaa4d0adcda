// A graph step by step: values node by node, then gradients edge by edge; zoom; and a node's paths.

// The steps of a graph: its leaves, each gate, then the seed and each edge on the way back.
function stepsOfGraph({ nodes, gradients }) {
  const steps = [{ kind: "leaves" }];
  nodes.forEach((node, at) => { if (!node.leaf) steps.push({ kind: "forward", at }); });
  if (!gradients) return steps;
  steps.push({ kind: "seed" });
  for (let at = nodes.length - 1; at >= 0; at--) {
    for (const edge of nodes[at].edges) if (edge.gradient !== null) steps.push({ kind: "backward", at, edge });
  }
  return steps;
}

function makeElement(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

class GraphView {
  // `box` holds the picture; `data` are its numbers, with nodes in the order in which they are computed.
  constructor(box, data) {
    Object.assign(this, { box, data, steps: stepsOfGraph(data), step: 0, scale: 1, chosen: null, path: null });
    this.picture = this.part(".picture");
    this.svg = this.picture.querySelector("svg");
    // Cards and curves stand in the picture in the order of the data.
    this.cards = [...this.svg.querySelectorAll(".pg-card")];
    this.curves = [...this.cards[0].parentElement.children].filter((each) => each.matches("path.pg-edge"));
    this.size = { width: this.svg.viewBox.baseVal.width, height: this.svg.viewBox.baseVal.height };
    this.findSteps();
    this.nameCards();
    this.slider = this.part("input");
    this.slider.max = this.steps.length - 1;
    this.listen();
    // A picture that is a little too wide is shrunk, but not until nothing can be read.
    this.zoom(Math.max(0.7, this.fitting()));
    this.render();
  }

  part(selector) {
    return this.box.querySelector(selector);
  }

  // When each number comes up: the step of its value, and of its gradient.
  findSteps() {
    const { steps, data: { nodes } } = this;
    this.valueStep = nodes.map((node, at) => (node.leaf ? 0 : steps.findIndex((step) => step.kind === "forward" && step.at === at)));
    this.seedStep = steps.findIndex((step) => step.kind === "seed");
    this.edgeStep = new Map(steps.flatMap((step, at) => (step.edge ? [[step.edge.card, at]] : [])));
    // The sum over a node's uses is known when the last of them has come back.
    this.totalStep = nodes.map((_, at) =>
      Math.max(this.seedStep, ...steps.map((step, number) => (step.edge && step.edge.node === at ? number : -1))));
  }

  nameCards() {
    for (const node of this.data.nodes) {
      const named = { tabindex: 0, role: "button", "aria-label": `${node.name} = ${node.value}` };
      for (const [name, value] of Object.entries(named)) this.cards[node.card].setAttribute(name, value);
    }
  }

  cardSteps(card) {
    const { kind, node } = this.data.cards[card];
    const own = kind === "edge" ? (this.edgeStep.has(card) ? this.edgeStep.get(card) : this.seedStep) : this.totalStep[node];
    return { value: this.valueStep[node], gradient: own };
  }

  words() {
    const { nodes } = this.data, step = this.steps[this.step], node = nodes[step.at];
    if (step.kind === "leaves") {
      return `Given: ${nodes.filter(({ leaf }) => leaf).map(({ name, value }) => `${name} = ${value}`).join(", ")}.`;
    }
    if (step.kind === "forward") return `Forward: ${node.name} = ${node.expression} = ${node.value}`;
    const root = nodes.at(-1).name;
    if (step.kind === "seed") return `Backward: the gradient starts as d${root}/d${root} = ${nodes.at(-1).gradient}`;
    return `Backward: ${step.edge.derivative}; along this edge d${root}/d${node.name} = ${node.gradient} becomes ${step.edge.gradient}`;
  }

  // Cards of the current step.
  currentCards() {
    const step = this.steps[this.step], { nodes } = this.data;
    if (step.kind === "leaves") return [];
    if (step.kind === "forward") return [nodes[step.at].card];
    return step.kind === "seed" ? [nodes.at(-1).card] : [step.edge.card];
  }

  render() {
    const end = this.steps.length - 1, words = this.words();
    this.part(".words").textContent = words;
    this.slider.value = this.step;
    this.slider.setAttribute("aria-valuetext", `${this.step + 1} of ${this.steps.length}: ${words}`);
    for (const name of ["first", "back"]) this.part(`[data-go=${name}]`).disabled = this.step === 0;
    for (const name of ["on", "end"]) this.part(`[data-go=${name}]`).disabled = this.step === end;
    const now = this.currentCards();
    this.cards.forEach((card, at) => {
      const known = this.cardSteps(at);
      card.classList.toggle("now", now.includes(at));
      for (const text of card.querySelectorAll(".pg-value")) text.classList.toggle("unknown", this.step < known.value);
      for (const text of card.querySelectorAll(".pg-grad")) text.classList.toggle("unknown", this.step < known.gradient);
    });
  }

  walk(to) {
    this.step = Math.max(0, Math.min(this.steps.length - 1, to));
    this.render();
    const [card] = this.currentCards();
    if (card !== undefined) this.reveal(this.cards[card]);
  }

  // Bring a card into the frame, and leave the page where it is.
  reveal(card) {
    const { picture } = this, box = card.getBoundingClientRect(), frame = picture.getBoundingClientRect();
    if (box.left < frame.left || box.right > frame.right) picture.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
    if (box.top < frame.top || box.bottom > frame.bottom) picture.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
  }

  fitting() {
    return Math.min(1, this.picture.clientWidth / this.size.width);
  }

  // What is in the middle of the frame stays there.
  zoom(scale) {
    const { picture, size, svg } = this;
    const middle = [picture.scrollLeft + picture.clientWidth / 2, picture.scrollTop + picture.clientHeight / 2];
    const ratio = scale / this.scale;
    this.scale = scale;
    svg.setAttribute("width", size.width * scale);
    svg.setAttribute("height", size.height * scale);
    picture.scrollLeft = middle[0] * ratio - picture.clientWidth / 2;
    picture.scrollTop = middle[1] * ratio - picture.clientHeight / 2;
    this.part(".scale").textContent = `${Math.round(100 * scale)} %`;
  }

  zoomBy(factor) {
    this.zoom(Math.max(0.05, Math.min(4, this.scale * factor)));
  }

  // All nodes and edges on any path from a node to the result.
  above(start) {
    const nodes = new Set([start]), parts = new Set();
    this.data.nodes.forEach((node, at) => {
      for (const edge of node.edges) {
        if (!nodes.has(edge.node)) continue;
        nodes.add(at);
        parts.add(edge.card);
      }
    });
    return { nodes, parts };
  }

  // Those of one path, which names its nodes from the result down.
  along(path) {
    const { nodes: all } = this.data, parts = new Set();
    const nodes = new Set(path.nodes.map((name) => all.findIndex((node) => node.name === name)));
    const isStep = (at, edge) => path.nodes[path.nodes.indexOf(all[at].name) + 1] === all[edge.node].name;
    for (const at of nodes) for (const edge of all[at].edges) if (nodes.has(edge.node) && isStep(at, edge)) parts.add(edge.card);
    return { nodes, parts };
  }

  choose(node) {
    this.chosen = node;
    this.path = null;
    this.paintPaths();
  }

  paintPaths() {
    const { chosen, path } = this, box = this.part(".explained");
    box.hidden = chosen === null;
    const explained = chosen === null ? null : this.data.nodes[chosen].paths;
    const lit = chosen === null ? null : path === null ? this.above(chosen) : this.along(explained.paths[path]);
    this.cards.forEach((card, at) => card.classList.toggle("away", lit !== null && !this.isLit(at, lit)));
    this.curves.forEach((curve, at) => {
      const gone = lit !== null && !this.data.edges[at].every((card) => this.isLit(card, lit));
      curve.classList.toggle("away", gone);
      // Its arrow head, if it has one, stands right behind it.
      const arrow = curve.nextElementSibling;
      if (arrow && arrow.matches("polygon")) arrow.classList.toggle("away", gone);
    });
    if (chosen !== null) this.writePaths(box, explained);
  }

  // A number belongs to the paths if its edge does; that of the result always.
  isLit(card, { nodes, parts }) {
    const { kind, node } = this.data.cards[card];
    if (kind !== "edge") return nodes.has(node);
    return parts.has(card) || (node === this.data.nodes.length - 1 && !this.edgeStep.has(card));
  }

  pathButton(path, at) {
    const button = makeElement("button", `${path.nodes.join(" → ")}:  ${path.product}`, "path");
    button.type = "button";
    button.setAttribute("aria-pressed", this.path === at);
    button.addEventListener("click", () => {
      this.path = this.path === at ? null : at;
      this.paintPaths();
      this.part(".explained").querySelectorAll(".path")[at].focus({ preventScroll: true });
    });
    return button;
  }

  writePaths(box, explained) {
    const node = this.data.nodes[this.chosen], root = this.data.nodes.at(-1).name;
    const count = explained ? explained.count : 0, noun = count === 1 ? "path" : "paths";
    const list = document.createElement("ol");
    (explained ? explained.paths : []).forEach((path, at) => {
      const item = document.createElement("li");
      item.append(this.pathButton(path, at));
      list.append(item);
    });
    const left = count - list.children.length;
    box.replaceChildren(
      makeElement("h2", explained ? `d${root}/d${node.name} = ${explained.gradient}: ${count} ${noun}` : `${node.name} = ${node.expression}`),
      list, makeElement("p", left > 0 ? `${left} more paths; the sum includes them.` : "", "note"));
  }

  nodeOf(target) {
    const card = target.closest(".pg-card[role]");
    return card && this.cards.includes(card) ? this.data.cards[this.cards.indexOf(card)].node : null;
  }

  toggle(node) {
    this.choose(node === this.chosen ? null : node);
  }

  onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const onSlider = event.target === this.slider, node = this.nodeOf(event.target);
    const keys = {
      ArrowLeft: () => this.walk(this.step - 1), ArrowRight: () => this.walk(this.step + 1),
      Home: () => this.walk(0), End: () => this.walk(this.steps.length - 1),
      0: () => this.zoom(this.fitting()), "+": () => this.zoomBy(1.25), "-": () => this.zoomBy(0.8), Escape: () => this.choose(null),
    };
    if (!onSlider && keys[event.key]) keys[event.key]();
    else if (node !== null && (event.key === "Enter" || event.key === " ")) this.toggle(node);
    else return;
    event.preventDefault();
  }

  listen() {
    const clicks = {
      first: () => this.walk(0), back: () => this.walk(this.step - 1), on: () => this.walk(this.step + 1),
      end: () => this.walk(this.steps.length - 1),
      fit: () => this.zoom(this.fitting()), smaller: () => this.zoomBy(0.8), larger: () => this.zoomBy(1.25),
    };
    for (const [name, act] of Object.entries(clicks)) this.part(`[data-go=${name}]`).addEventListener("click", act);
    this.slider.addEventListener("input", (event) => this.walk(Number(event.target.value)));
    this.svg.addEventListener("click", (event) => {
      const node = this.nodeOf(event.target);
      if (node === null) this.choose(null);
      else this.toggle(node);
    });
  }
}
