// One target: what is decided, why, its charts, and everything behind it.
//
// The picture stays when the target is gone or the server away; what is said above it says so.

import { clock, count, element, known, mark, plural, rate, say, span } from "./words.js";
import { makeCharts } from "./charts.js";
import * as ahead from "./ahead.js";

// The server's own history is bounded; a tab that stays open for days is bounded by this.
const POINTS_MAX = 5000;
// Data older than this is marked, as in the list.
const OLD_SECONDS = 60;

const MINUTE = 60000;
const RANGES = [["15 min", 15 * MINUTE], ["1 h", 60 * MINUTE], ["All", Infinity]];

const byId = (id) => document.getElementById(id);

const charts = makeCharts(byId("charts"), [
  { title: "Replicas", whole: true, words: count, curves: [
    { name: "decided", ink: "first", field: "desired_replicas" },
    { name: "in the group", ink: "second", field: "observed_replicas" },
  ] },
  { title: "Rates, records/s", words: (value) => rate(value) + "/s", curves: [
    { name: "inbound", ink: "first", field: "inbound_records_per_second" },
    { name: "processed", ink: "third", field: "processing_records_per_second" },
  ] },
  { title: "Lag, records", words: count, curves: [{ name: "lag", ink: "second", field: "lag_records" }] },
  { title: "Lag, seconds", words: span, curves: [{ name: "worst partition", ink: "second", field: "lag_seconds" }] },
]);

let place = [];
let points = [];
let detail = null;
let pictured = null;
let range = RANGES[1][1];

// === words ===

function lead({ target, decision }) {
  if (!decision) return "Nothing is decided yet: the first data is on its way.";
  if (target.status !== "valid") return `${target.attention.why}. The replicas stay as they are.`;
  const asleep = target.active ? "active" : "asleep";
  return `${plural(target.desired_replicas, "replica")}, ${asleep}: ${decision.reason} (${decision.verdict}).`;
}

function freshness({ target, decision, now_millis }) {
  if (!decision) return "";
  const data = known(target.data_age_seconds) ? `from data ${span(target.data_age_seconds)} old` : "before everything was read once";
  const decided = `Decided ${span((now_millis - decision.at_millis) / 1000)} ago ${data}`;
  const left = (decision.valid_until_millis - now_millis) / 1000;
  if (decision.unknown_cause) return decided + ".";
  return left >= 0 ? `${decided}; stands for ${span(left)} without newer data.` : `${decided}; too old since ${span(-left)}.`;
}

function figuresOf({ target, source, decision: { inputs } }) {
  const perSecond = (value) => (known(value) ? rate(value) + " records/s" : "unknown");
  const learned = inputs.capacity_learned ? ", learned" : ", configured";
  const episode = inputs.rebalancing ? `; one goes on, ${span(inputs.held_seconds)} into its hold` : "";
  return [
    ["Replicas", `${count(inputs.observed_replicas)} in the group, ${count(inputs.replicas_in_flight)} on their way, ${count(target.desired_replicas)} decided`],
    ["Inbound", `${perSecond(inputs.inbound_up_records_per_second)} for going up, ${perSecond(inputs.inbound_down_records_per_second)} for going down`],
    ["Rate sources", `log ends ${perSecond(inputs.inbound_offsets_fast_records_per_second)} fast, ${perSecond(inputs.inbound_offsets_slow_records_per_second)} slow; Prometheus ${source.prometheus_query ? perSecond(inputs.inbound_prometheus_records_per_second) : "not asked"}`],
    ["Processed", perSecond(inputs.processing_records_per_second)],
    ["Capacity", known(inputs.capacity_per_replica_records_per_second) ? perSecond(inputs.capacity_per_replica_records_per_second) + " a replica" + learned : "not known yet"],
    ["In use", known(inputs.utilization) ? Math.round(inputs.utilization * 100) + " %" : "unknown"],
    ["Lag", `${count(inputs.lag_records)} records, of which ${count(inputs.lag_counted_records)} count; ${plural(inputs.partitions, "partition")}`],
    ["Behind", known(inputs.lag_seconds) ? span(inputs.lag_seconds) : "unknown"],
    ["Group", inputs.group_state || "state unknown"],
    ["Rebalances", `${count(inputs.rebalances)} so far${episode}`],
  ];
}

// === drawing ===

// Rewrites a section only when what it says has changed, so that a selection in it survives.
const written = new Map();
function section(id, title, said, build) {
  const now = JSON.stringify(said);
  if (written.get(id) === now) return;
  written.set(id, now);
  const empty = !said || said.length === 0;
  byId(id).replaceChildren(...(empty ? [] : [element("h2", {}, title), build(said)]));
}

function sentences(list) {
  return element("ul", {}, ...list.map((sentence) => element("li", {}, sentence)));
}

function trail(steps) {
  const rows = steps.map((step) => {
    const change = step.before_replicas === step.after_replicas ? step.after_replicas : step.before_replicas + " → " + step.after_replicas;
    return element("tr", {}, element("td", {}, step.stage), element("td", { class: "number" }, change), element("td", {}, step.why));
  });
  return element("table", { class: "trail" }, element("tbody", {}, ...rows));
}

function pairs(lines) {
  return element("dl", {}, ...lines.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
}

function sourceOf({ source, target, triggers }) {
  const lines = [
    ["Kafka", source.cluster],
    ["Group", source.consumer_group],
    ["Topics", source.topics.length ? source.topics.join(", ") : "all of the group's own"],
  ];
  if (source.prometheus_query) lines.push(["Prometheus", source.prometheus_query]);
  if (triggers.length > 1) lines.push(["Trigger", `${target.trigger}, one of ${triggers.join(", ")}`]);
  return lines;
}

function draw() {
  const { target, decision } = detail;
  byId("picture").hidden = false;
  say(byId("lead"), lead(detail));
  mark(byId("lead"), "lead " + ({ error: "bad", warning: "warn" }[target.attention?.severity] || ""));
  say(byId("freshness"), freshness(detail));
  mark(byId("freshness"), target.data_age_seconds > OLD_SECONDS ? "bad" : "quiet");
  section("problems", "What is wrong", detail.problems, sentences);
  section("notices", "Notices", detail.notices, sentences);
  section("calendar", "Known ahead", ahead.sentences(detail), sentences);
  ahead.draw(byId("day"), detail);
  drawCharts();
  section("trail", "How it came to that", decision?.unknown_cause ? null : decision?.trail, trail);
  section("findings", "Also", decision?.findings.map((finding) => `${finding.verdict}: ${finding.why}`), sentences);
  section("figures", "Figures", decision && !decision.unknown_cause ? figuresOf(detail) : null, pairs);
  section("source", "Source", sourceOf(detail), pairs);
  section("notes", "Notes", detail.notes, sentences);
  const urgent = target.attention ? "(!) " : "";
  document.title = `${urgent}${target.namespace}/${target.name} – evenkeel`;
}

function drawCharts() {
  const shaded = charts.draw(points, detail.now_millis, detail.policy.poll_interval_seconds * 1000, range);
  const parts = [`Times are ${Intl.DateTimeFormat().resolvedOptions().timeZone || "local"}.`];
  if (shaded.rebalances) parts.push("Violet: a rebalance was going on.");
  if (shaded.unknown) parts.push("Red: too little was known to answer.");
  say(byId("key"), parts.join(" "));
}

function drawRanges() {
  byId("ranges").replaceChildren(...RANGES.map(([words, millis]) => {
    const button = element("button", { type: "button", "aria-pressed": String(millis === range) }, words);
    button.addEventListener("click", () => {
      range = millis;
      for (const other of byId("ranges").children) other.setAttribute("aria-pressed", String(other === button));
      if (detail) drawCharts();
    });
    return button;
  }));
}

// === a view ===

export function open(parts) {
  if (parts.join("\n") === place.join("\n")) return;
  place = parts;
  points = [];
  detail = pictured = null;
  charts.clear();
  byId("picture").hidden = byId("gone").hidden = true;
  const name = parts.slice(0, 2).join("/");
  say(byId("name"), name);
  document.title = `${name} – evenkeel`;
  byId("one").querySelector("h1").focus({ preventScroll: true });
  scrollTo(0, 0);
}

export function leave() {
  place = [];
}

export const picturedAt = () => pictured;

function tellGone(sentence) {
  const [namespace, name, trigger] = place;
  const picture = pictured ? ` What you see is of ${clock(pictured)}, and it comes back when KEDA asks again.` : "";
  byId("gone").hidden = false;
  mark(byId("picture"), "old");
  if (byId("gone").dataset.said === sentence + picture) return;
  byId("gone").dataset.said = sentence + picture;
  const whole = "#/" + [namespace, name].map(encodeURIComponent).join("/");
  const other = trigger ? element("a", { href: whole }, "Its newest trigger") : null;
  byId("gone").replaceChildren(sentence + picture + " ", other || "");
}

export async function refresh(ask, isRefusal) {
  const [namespace, name, trigger] = place, asked = place;
  const base = `api/v1/targets/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const selection = trigger ? "trigger=" + encodeURIComponent(trigger) : "";
  const since = points.length ? points[points.length - 1].at_millis : 0;
  try {
    const [one, newer] = await Promise.all([ask(`${base}?${selection}`), ask(`${base}/history?${selection}&since=${since}`)]);
    if (asked !== place) return;
    detail = one;
    points = points.concat(newer.points).slice(-POINTS_MAX);
    pictured = Date.now();
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (asked === place) tellGone(error.message);
    return;
  }
  byId("gone").hidden = true;
  mark(byId("picture"), "");
  draw();
}

drawRanges();
