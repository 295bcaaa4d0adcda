// The page comes up.
writeHeader();
buildExamples();
buildTicks();
buildEdgeChoice();
build();
listen();
listenToTabs();
tabs.enter.walk = () => {
  render();
  reveal(step().layer);
};
readAddress();
openTab(tabs.current);
