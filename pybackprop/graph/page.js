// The page of one graph. All is shown at first, and keys work wherever the focus is.

const graph = new GraphView(document.querySelector(".graph"), data);
graph.walk(graph.steps.length - 1);
document.addEventListener("keydown", (event) => graph.onKey(event));
