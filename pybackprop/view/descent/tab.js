// The tab Descent of a lesson about a function.

tabs.enter.descent = () => {
  if (!byId("descent").firstChild) showFunction(byId("descent"), data.descent);
  writeAddress();
};
