// What several parts of the pages share: how numbers are written, elements made, and charts sized.

const byId = (id) => document.getElementById(id);

const exact = (value) => rounded(value, 6);

// So many digits, and an exponent where there would be many zeros.
function rounded(value, digits) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  const size = Math.abs(value), number = Number(value.toPrecision(digits));
  const text = size !== 0 && (size < 1e-4 || size >= 1e7) ? number.toExponential() : String(number);
  return text.replaceAll("-", "−").replace("e+", "e");
}

function brief(value) {
  if (!Number.isFinite(value)) return String(value).replace("-", "−").replace("Infinity", "∞");
  const size = Math.abs(value);
  let text = String(value);
  if (Number.isInteger(value) && size < 1e4) return text.replace("-", "−");
  if (size >= 9999.5 || size < 0.005) text = value.toExponential(0).replace("e+", "e");
  else if (size >= 99.5) text = value.toFixed(0);
  else if (size >= 9.95) text = value.toFixed(1);
  else text = value.toFixed(2);
  return text.replaceAll("-", "−");
}

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function make(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// Text and attributes are written only where they change: every write has the page laid out anew.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// An element of a picture that is put in later.
function svg(name, attributes, text) {
  return make(name, attributes, null, text);
}

// A chart as wide as its place, so that letters keep their size on a telephone; returns the width.
function widen(chart, height) {
  const width = Math.max(240, Math.round(chart.clientWidth));
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.style.height = `${height}px`;
  return width;
}

const optionsOf = (entries, chosen) => entries.map(([value, name]) =>
  `<option value="${value}"${String(value) === String(chosen) ? " selected" : ""}>${name}</option>`).join("");

// Colours that people with any kind of colour vision tell apart (Okabe and Ito, 2008).
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999"];
