// Elements of the page. Text arrives as text nodes only, so that markup in a call stays text.

const $ = (id) => document.getElementById(id);

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The letter tells LMs apart where colours do not; beyond the eighth LM the colours come again with stripes.
function swatch(lm, extra = "") {
  return el("span", { class: `swatch ${lmClass(lm)} ${extra}`, "aria-hidden": "true" }, data.lms[lm].letter);
}

function lmClass(lm) {
  return `lm-${lm % 8}${lm >= 8 ? " striped" : ""}`;
}

// One stop for the Tab key among many elements; the arrow keys go from one to the next.
function rove(element, among, focus = true) {
  for (const other of among) other.tabIndex = -1;
  element.tabIndex = 0;
  if (focus) element.focus();
}
