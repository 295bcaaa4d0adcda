// The walk comes up.
buildExamples();
buildTicks();
buildEdgeChoice();
writeLegend();
build();
listen();
address.parts.push({ write: addressOfWalk, read: readWalk });
tabs.enter.walk = () => {
  render();
  reveal(step().layer);
};
