// The tab Graph of a lesson: its graphs one below the other, each at its start, so that one can compute ahead.

const graphs = [];

tabs.enter.graph = () => {
  // A picture that is not shown has no width that it could be fitted to.
  if (!graphs.length) {
    const boxes = byId("graph").querySelectorAll(".graph");
    // Each graph is there twice, across for a wide window and downwards for a narrow one.
    data.graphs.forEach((each, at) => {
      const view = new GraphView(boxes[at], each);
      boxes[at].addEventListener("keydown", (event) => view.onKey(event));
      graphs.push(view);
    });
  }
  writeAddress();
};
