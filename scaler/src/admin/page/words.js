// Figures in words, and text on the page.
//
// Text from outside (names, sentences) reaches the page here and only as text, never as markup.
// Unknown is said as unknown, never as 0.

const DASH = "–";

export const known = (value) => value !== null && value !== undefined;

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en") : DASH;
}

export function rate(value) {
  if (!known(value)) return DASH;
  const digits = Math.abs(value) < 100 && value !== Math.round(value) ? 1 : 0;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function short(value) {
  return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

export function span(seconds) {
  if (!known(seconds)) return DASH;
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return Math.round(seconds / 3600) + " h";
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export const clock = (millis) => new Date(millis).toLocaleTimeString("en-GB");

export function replicas(target) {
  const observed = count(target.observed_replicas), desired = count(target.desired_replicas);
  return observed === desired ? desired : observed + " → " + desired;
}

// === making elements ===

export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter(known).map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

export function svg(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Writes only what changed, so that a selection, and whoever reads aloud, is left in peace.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function mark(node, classes) {
  if (node.className !== classes) node.className = classes;
}
