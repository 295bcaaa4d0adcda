// The page comes up, at the place that its address names.
listenToTabs();
window.addEventListener("hashchange", () => goTo());
goTo(location.hash.slice(1) || data.opens);
