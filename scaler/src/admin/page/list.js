// All targets: what needs attention first, filtered, and never more rows than a browser draws quickly.
//
// Rows are kept and rewritten, not made anew, so that the scroll position, the focus and a selection
// outlive an update.

import { count, element, known, mark, plural, rate, replicas, say, span } from "./words.js";

// Rows drawn at first, and more at a time. The order puts first what matters, the filter finds the rest.
const ROWS = 200;
// Data older than this is marked. The default poll is 2 s, the largest 60 s.
const OLD_SECONDS = 60;

const SEVERITIES = { error: 2, warning: 1 };

const byId = (id) => document.getElementById(id);
const nameOf = (target) => target.namespace + "/" + target.name;

// What a column is called, how a cell says it, and by what it sorts; figures sort largest first.
const COLUMNS = [
  { title: "Target", kind: "name", text: nameOf, by: nameOf, up: true },
  { title: "State", kind: "state", text: stateOf, by: urgency },
  { title: "Replicas", kind: "number", text: replicas, by: (target) => target.desired_replicas },
  { title: "Lag", kind: "number", text: (target) => count(target.lag_records), by: (target) => target.lag_records },
  { title: "Behind", kind: "number", text: (target) => span(target.lag_seconds), by: (target) => target.lag_seconds },
  { title: "Inbound", kind: "number wide", text: (target) => rate(target.inbound_records_per_second), by: (target) => target.inbound_records_per_second },
  { title: "Processed", kind: "number wide", text: (target) => rate(target.processing_records_per_second), by: (target) => target.processing_records_per_second },
  { title: "Data age", kind: "number wide", text: (target) => span(target.data_age_seconds), by: (target) => target.data_age_seconds },
];

let targets = [];
let pictured = null;
let sorting = { column: COLUMNS[1], up: false };
let limit = ROWS;
let scrolled = 0;
const rows = new Map();

// === saying it ===

function urgency(target) {
  const severity = SEVERITIES[target.attention?.severity] || 0;
  const changing = target.rebalancing || target.replicas_in_flight > 0;
  return severity * 4 + (target.status === "waiting" ? 2 : 0) + (changing ? 1 : 0);
}

function stateOf(target) {
  const verdict = target.verdict || "waiting for data";
  const rebalancing = target.rebalancing ? ", rebalancing" : "";
  return target.attention ? `${verdict}${rebalancing}: ${target.attention.why}` : verdict + rebalancing;
}

function toneOf(target, column) {
  if (column.kind === "state") return { error: " bad", warning: " warn" }[target.attention?.severity] || "";
  if (column.title === "Data age" && target.data_age_seconds > OLD_SECONDS) return " bad";
  return "";
}

// The trigger is named only where it takes that to tell two apart: an address should outlive an edit.
function addressOf(target, twice) {
  const parts = twice.has(nameOf(target)) ? [target.namespace, target.name, target.trigger] : [target.namespace, target.name];
  return "#/" + parts.map(encodeURIComponent).join("/");
}

function namedTwice() {
  const seen = new Set(), twice = new Set();
  for (const target of targets) (seen.has(nameOf(target)) ? twice : seen).add(nameOf(target));
  return twice;
}

// === which rows, in which order ===

function compare(one, other) {
  const { column, up } = sorting;
  const [a, b] = [column.by(one), column.by(other)];
  // What is unknown comes last, whichever way.
  if (known(a) !== known(b)) return known(a) ? -1 : 1;
  const order = a < b ? -1 : a > b ? 1 : 0;
  return (up ? order : -order) || (nameOf(one) < nameOf(other) ? -1 : 1);
}

function matching() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (target) => `${nameOf(target)} ${target.status} ${stateOf(target)}`.toLowerCase();
  return targets.filter((target) => words.every((word) => text(target).includes(word))).sort(compare);
}

// === drawing ===

function makeRow() {
  const cells = COLUMNS.map((column) => {
    const text = column.kind === "name" ? element("a", {}) : element("span", {});
    const holder = column.kind === "name" ? element("bdi", {}, text) : text;
    return { cell: element("td", { "data-title": column.title }, holder), text };
  });
  return { row: element("tr", {}, ...cells.map(({ cell }) => cell)), cells };
}

function writeRow(made, target, address) {
  COLUMNS.forEach((column, nth) => {
    const { cell, text } = made.cells[nth];
    say(text, column.text(target));
    mark(cell, column.kind + toneOf(target, column));
    if (column.kind === "name" && text.getAttribute("href") !== address) text.setAttribute("href", address);
  });
}

function draw() {
  const body = byId("targets").tBodies[0], focused = document.activeElement;
  const shown = matching(), twice = namedTwice(), wanted = new Set();
  shown.slice(0, limit).forEach((target, nth) => {
    const key = JSON.stringify([target.namespace, target.name, target.trigger]);
    wanted.add(key);
    if (!rows.has(key)) rows.set(key, makeRow());
    const made = rows.get(key);
    writeRow(made, target, addressOf(target, twice));
    if (body.rows[nth] !== made.row) body.insertBefore(made.row, body.rows[nth] || null);
  });
  for (const [key, made] of rows) {
    if (wanted.has(key)) continue;
    made.row.remove();
    rows.delete(key);
  }
  // A row that moves loses the focus on the way.
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  byId("empty").hidden = targets.length > 0 || !pictured;
  byId("targets").hidden = byId("hint").hidden = targets.length === 0;
  byId("more").hidden = shown.length <= limit;
  say(byId("more"), `Show ${count(Math.min(ROWS, shown.length - limit))} more of ${count(shown.length - limit)}`);
  say(byId("count"), summary(shown));
  document.title = urgentOnes() ? `(${urgentOnes()}) evenkeel` : "evenkeel";
  drawHead();
}

// Rewritten only when it says something else, so that a selection in it survives.
function drawWarnings(sentences) {
  const list = byId("warnings");
  list.hidden = sentences.length === 0;
  if (list.dataset.said === sentences.join("\n")) return;
  list.dataset.said = sentences.join("\n");
  list.replaceChildren(...sentences.map((sentence) => element("li", {}, sentence)));
}

const urgentOnes = () => targets.filter((target) => target.attention).length;

function summary(shown) {
  const urgent = urgentOnes();
  const rebalancing = targets.filter((target) => target.rebalancing).length;
  const parts = [shown.length === targets.length ? plural(targets.length, "target") : `${count(shown.length)} of ${plural(targets.length, "target")}`];
  if (urgent) parts.push(`${count(urgent)} ${urgent === 1 ? "needs" : "need"} attention`);
  if (rebalancing) parts.push(`${count(rebalancing)} rebalancing`);
  return parts.join(", ");
}

function drawHead() {
  const row = byId("targets").tHead.rows[0];
  if (!row.cells.length) {
    row.append(...COLUMNS.map((column) => {
      const button = element("button", { type: "button" }, column.title);
      button.addEventListener("click", () => sortBy(column));
      return element("th", { class: column.kind, scope: "col" }, button);
    }));
  }
  COLUMNS.forEach((column, nth) => {
    const sorted = sorting.column === column ? (sorting.up ? "ascending" : "descending") : "none";
    if (row.cells[nth].getAttribute("aria-sort") !== sorted) row.cells[nth].setAttribute("aria-sort", sorted);
  });
}

function sortBy(column) {
  sorting = { column, up: sorting.column === column ? !sorting.up : Boolean(column.up) };
  draw();
}

// === keys ===

function links() {
  return [...byId("targets").tBodies[0].querySelectorAll("a")];
}

function move(by) {
  const all = links(), at = all.indexOf(document.activeElement);
  if (at + by < 0) byId("filter").focus();
  else all[Math.min(at + by, all.length - 1)]?.focus();
}

export function onKey(event) {
  const typing = event.target === byId("filter");
  if (event.key === "/" && !typing) byId("filter").focus();
  else if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp" && !typing) move(-1);
  else if (event.key === "Enter" && typing) links()[0]?.click();
  else if (event.key === "Escape" && byId("filter").value) {
    byId("filter").value = "";
    refilter();
  } else return;
  event.preventDefault();
}

function refilter() {
  limit = ROWS;
  draw();
}

byId("filter").addEventListener("input", refilter);
byId("more").addEventListener("click", () => { limit += ROWS; draw(); });

// === a view ===

let opened = null;

export function leave() {
  scrolled = scrollY;
  opened = document.activeElement;
}

export function enter() {
  draw();
  // Back to the row that was left, or to where it was.
  if (opened?.isConnected) opened.focus({ preventScroll: true });
  scrollTo(0, scrolled);
}

export const picturedAt = () => pictured;

export async function refresh(ask) {
  const answer = await ask("api/v1/targets");
  targets = answer.targets;
  drawWarnings(answer.notices);
  pictured = Date.now();
  say(byId("server"), "version " + answer.version);
  draw();
}
