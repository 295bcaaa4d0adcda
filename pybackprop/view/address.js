// The address holds where one is, so that a view can be linked to. Each part of the page adds what it keeps there.

const address = { parts: [], timer: null };  // { write: () => ["name=value"], read: (given) => {} }

// Browsers allow few changes of the address in a second, and take as long for one as for a picture. So it is
// written when one has come to rest.
const REST_MS = 200;

function writeAddress() {
  // A page within a notebook has no address of its own, and may not change the notebook's.
  if (location.protocol === "about:") return;
  const { hash } = location;
  clearTimeout(address.timer);
  address.timer = setTimeout(() => storeAddress(hash), REST_MS);
}

// A place that a link has named meanwhile is still to be gone to.
function storeAddress(hash) {
  if (location.hash !== hash) return;
  const parts = address.parts.flatMap(({ write }) => write());
  if (tabs.current !== tabNames()[0]) parts.unshift(`tab=${tabs.current}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
}

// Take over a place, such as "tab=walk&step=3"; returns its tab, which is still to be opened.
function readAddress(place = location.hash.slice(1)) {
  const given = new URLSearchParams(place);
  for (const { read } of address.parts) read(given);
  return tabNames().includes(given.get("tab")) ? given.get("tab") : tabNames()[0];
}

function goTo(place) {
  openTab(readAddress(place));
}
