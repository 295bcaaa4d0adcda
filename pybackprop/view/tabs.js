// The tabs: one part of the page at a time. Each part is told when it comes up and when it goes.

const tabs = { current: null, enter: {}, leave: {} };

function openTab(name) {
  if (tabs.current !== name && tabs.leave[tabs.current]) tabs.leave[tabs.current]();
  tabs.current = name;
  for (const tab of byId("tabs").children) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tabs.enter[name]) tabs.enter[name]();
}

const tabNames = () => [...byId("tabs").children].map((tab) => tab.getAttribute("aria-controls"));

function moveTab(event) {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!move) return;
  const names = tabNames(), next = names[(names.indexOf(tabs.current) + move + names.length) % names.length];
  openTab(next);
  byId(`tab-${next}`).focus();
  event.preventDefault();
  event.stopPropagation();
}

// What is typed into a field is no command.
const isWritten = (target) => target.matches("input[type=text]");

function listenToTabs() {
  for (const name of tabNames()) byId(`tab-${name}`).addEventListener("click", () => openTab(name));
  byId("tabs").addEventListener("keydown", moveTab);
}
