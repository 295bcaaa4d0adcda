// The header of the page of a network.

function writeHeader() {
  const layers = data.layers.map(({ width, act }) => `${width}${act ? ` ${act}` : ""}`);
  // Equal layers in a row are counted.
  const runs = layers.filter((layer, at) => layer !== layers[at - 1]);
  let from = 0;
  const parts = runs.map((layer) => {
    let to = from;
    while (layers[to] === layer) to++;
    const count = to - from;
    from = to;
    return count > 2 ? `${count} × ${layer}` : Array(count).fill(layer).join(" → ");
  });
  byId("title").textContent = (data.name ? `${data.name}: ` : "") + parts.join(" → ");
  byId("about").textContent = `${data.parameters.toLocaleString("en")} parameters, ${data.dtype}, loss ${data.loss}. ` +
    "Walk: one example at a time, with the cost of that example.";
}

writeHeader();
