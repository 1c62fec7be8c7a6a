// The admin page: asks the API every two seconds and draws what it says.
//
// Text from outside (names, sentences) reaches the page through textContent only, never as markup.
// Addresses are relative, so that the page works behind a proxy's path. Nothing is computed here
// that the API does not say; unknown is shown as a dash, never as 0.
"use strict";

const EVERY_MILLIS = 2000;
// The server's own history is bounded; a tab left open for days is bounded by this.
const POINTS_MAX = 5000;
const byId = (id) => document.getElementById(id);
const DASH = "–";

let history = { key: "", points: [] };

// === making elements ===

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children) made.append(child instanceof Node ? child : document.createTextNode(String(child)));
  return made;
}

function svgElement(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// === saying figures ===

const known = (value) => value !== null && value !== undefined;
const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en") : DASH);

function rate(value) {
  if (!known(value)) return DASH;
  const digits = Math.abs(value) < 100 && value !== Math.round(value) ? 1 : 0;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function short(value) {
  return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

function span(seconds) {
  if (!known(seconds)) return DASH;
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return Math.round(seconds / 3600) + " h";
}

const clock = (millis) => new Date(millis).toLocaleTimeString("en-GB");

const CALM = ["SteadyState", "RateUp", "LagUp", "ScaleDown", "DownHeld", "LagHeld", "ColdStart", "Warmup"];

function verdictOf(target) {
  const [text, tone] = {
    waiting: ["waiting for data", "quiet"],
    unknown: [target.verdict + ", no answer", "bad"],
    expired: [target.verdict + ", too old", "bad"],
    valid: [target.verdict, CALM.includes(target.verdict) ? "" : "warn"],
  }[target.status] || [target.verdict, ""];
  return element("span", { class: tone }, text || DASH);
}

function replicasOf(target) {
  const observed = whole(target.observed_replicas), desired = whole(target.desired_replicas);
  return observed === desired ? desired : observed + " → " + desired;
}

// === the list ===

function address(target) {
  return "#" + [target.namespace, target.name, target.trigger].map(encodeURIComponent).join("/");
}

function row(target) {
  const cell = (kind, ...content) => element("td", { class: kind }, ...content);
  const name = element("a", { href: address(target) }, target.namespace + "/" + target.name);
  const stale = target.data_age_seconds > 60 ? "number wide bad" : "number wide";
  return element("tr", {},
    cell("name", name),
    cell("number", replicasOf(target)),
    cell("number", whole(target.lag_records)),
    cell("number wide", span(target.lag_seconds)),
    cell("number wide", rate(target.inbound_records_per_second)),
    cell("number wide", rate(target.processing_records_per_second)),
    cell("", verdictOf(target), target.rebalancing ? element("span", { class: "quiet" }, " rebalancing") : ""),
    cell(stale, span(target.data_age_seconds)));
}

function drawList(list) {
  byId("empty").hidden = list.targets.length > 0;
  byId("targets").hidden = byId("key").hidden = list.targets.length === 0;
  byId("targets").tBodies[0].replaceChildren(...list.targets.map(row));
  byId("server").textContent = list.version + ", " + list.targets.length + (list.targets.length === 1 ? " target" : " targets");
}

// === charts ===

// Pixels; the width follows the window, so that the text in a chart stays as large as the rest.
const BOX = { width: 480, height: 176, left: 44, right: 8, top: 8, bottom: 20 };

function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

// A path that breaks where the figure is unknown.
function path(points, figure, x, y, stepped) {
  let out = "", before = null;
  for (const point of points) {
    const value = figure(point);
    if (!known(value)) { before = null; continue; }
    const here = [x(point.at_millis).toFixed(1), y(value).toFixed(1)];
    if (before === null) out += "M" + here.join(" ");
    else out += (stepped ? "H" + here[0] + "V" + here[1] : "L" + here.join(" "));
    before = here;
  }
  return out;
}

function drawShades(drawing, points, x) {
  let from = null, until = 0;
  const close = () => {
    const width = Math.max(2, x(until) - x(from));
    drawing.append(svgElement("rect", { class: "shade", x: x(from), y: BOX.top, width, height: BOX.height - BOX.top - BOX.bottom }));
    from = null;
  };
  for (const point of points) {
    if (from !== null) until = point.at_millis;
    if (point.rebalancing && from === null) from = until = point.at_millis;
    if (!point.rebalancing && from !== null) close();
  }
  if (from !== null) close();
}

function drawGrid(drawing, top, y, first, last, whole) {
  for (const value of whole && top < 4 ? [0, top] : [0, top / 2, top]) {
    drawing.append(svgElement("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value), y2: y(value) }));
    drawing.append(svgElement("text", { x: BOX.left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
    drawing.append(svgElement("text", { x: BOX.left, y: BOX.height - 5 }, clock(first)));
  drawing.append(svgElement("text", { x: BOX.width - BOX.right, y: BOX.height - 5, "text-anchor": "end" }, clock(last)));
}

// The legend says the newest figures, or those under the pointer.
function chart(title, points, curves, say, stepped) {
  const legends = curves.map((curve) => element("span", { class: "ink-" + curve.ink }));
  const at = element("span", { class: "quiet" });
  const tell = (point, pointed) => {
    curves.forEach((curve, nth) => { legends[nth].textContent = curve.name + " " + say(point ? curve.figure(point) : null); });
    at.textContent = pointed ? clock(point.at_millis) : "";
  };
  const drawing = svgElement("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": title });
  const figure = element("figure", {}, element("figcaption", {}, element("b", {}, title), at, ...legends), drawing);
  const newest = points[points.length - 1];
  tell(newest, false);
  if (points.length < 2) {
    drawing.append(svgElement("text", { x: BOX.width / 2, y: BOX.height / 2, "text-anchor": "middle" }, "not enough history yet"));
    return figure;
  }
  const first = points[0].at_millis, last = newest.at_millis;
  const highest = points.reduce((most, point) => curves.reduce((so, curve) => Math.max(so, curve.figure(point) || 0), most), 0);
  const top = niceCeiling(highest * 1.05);
  const x = (millis) => BOX.left + ((millis - first) / Math.max(1, last - first)) * (BOX.width - BOX.left - BOX.right);
  const y = (value) => BOX.height - BOX.bottom - (value / top) * (BOX.height - BOX.top - BOX.bottom);
  drawShades(drawing, points, x);
  drawGrid(drawing, top, y, first, last, stepped);
  for (const curve of curves) {
    drawing.append(svgElement("path", { class: "curve stroke-" + curve.ink, d: path(points, curve.figure, x, y, stepped) }));
  }
  const cursor = svgElement("line", { class: "cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  drawing.append(cursor);
  drawing.addEventListener("pointermove", (event) => {
    const place = drawing.getScreenCTM().inverse();
    const millis = first + ((event.clientX * place.a + place.e - BOX.left) / (BOX.width - BOX.left - BOX.right)) * (last - first);
    const near = points.reduce((best, point) => (Math.abs(point.at_millis - millis) < Math.abs(best.at_millis - millis) ? point : best));
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(near.at_millis));
    cursor.setAttribute("visibility", "visible");
    tell(near, true);
  });
  drawing.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); tell(newest, false); });
  return figure;
}

function fitCharts() {
  const margins = 2 * 16, inside = 2 * 13, gap = 16, two = 2 * 416 + gap;
  const room = document.body.clientWidth - margins;
  BOX.width = Math.max(240, Math.floor(room >= two ? (room - gap) / 2 : room) - inside);
}

function charts(points) {
  fitCharts();
  const curve = (name, ink, field) => ({ name, ink, figure: (point) => point[field] });
  return element("div", { class: "charts" },
    chart("Replicas", points, [curve("decided", "first", "desired_replicas"), curve("in the group", "second", "observed_replicas")], whole, true),
    chart("Records per second", points, [curve("inbound", "second", "inbound_records_per_second"), curve("processed", "third", "processing_records_per_second")], rate, false),
    chart("Lag, records", points, [curve("lag", "second", "lag_records")], whole, false),
    chart("Lag, seconds", points, [curve("worst partition", "second", "lag_seconds")], span, false));
}

// === one target ===

function lead(detail) {
  const { target, decision } = detail;
  if (!decision) return "Nothing is decided yet: the first data is on its way.";
  if (decision.unknown_cause) return `KEDA is answered an error and keeps what there is: ${decision.unknown_cause}.`;
  const count = target.desired_replicas + (target.desired_replicas === 1 ? " replica" : " replicas");
  return `${count}, ${target.active ? "active" : "asleep"}, because ${decision.meaning}.`;
}

function freshness(detail) {
  const { target, decision, now_millis } = detail;
  if (!decision) return "";
  const left = (decision.valid_until_millis - now_millis) / 1000;
  if (decision.unknown_cause) return `Decided ${span((now_millis - decision.at_millis) / 1000)} ago from data ${span(target.data_age_seconds)} old.`;
  const stands = left >= 0 ? `stands for ${span(left)} without newer data` : `too old since ${span(-left)}`;
  return `Decided ${span((now_millis - decision.at_millis) / 1000)} ago from data ${span(target.data_age_seconds)} old; ${stands}.`;
}

function section(title, body) {
  return body ? [element("h2", {}, title), body] : [];
}

function sentences(list) {
  return list.length ? element("ul", {}, ...list.map((sentence) => element("li", {}, sentence))) : null;
}

function trail(steps) {
  if (!steps.length) return null;
  const rows = steps.map((step) => element("tr", {},
    element("td", {}, step.stage),
    element("td", { class: "number" }, step.before_replicas === step.after_replicas ? step.after_replicas : step.before_replicas + " → " + step.after_replicas),
    element("td", {}, step.why)));
  return element("div", { class: "scroll" }, element("table", { class: "trail" }, element("tbody", {}, ...rows)));
}

function figures(inputs) {
  const perSecond = (value) => (known(value) ? rate(value) + " records/s" : "unknown");
  const learned = inputs.capacity_learned ? ", learned" : ", configured";
  const lines = [
    ["Inbound", `${perSecond(inputs.inbound_up_records_per_second)} for going up, ${perSecond(inputs.inbound_down_records_per_second)} for going down`],
    ["Witnesses", `log ends ${rate(inputs.inbound_offsets_fast_records_per_second)} fast, ${rate(inputs.inbound_offsets_slow_records_per_second)} slow; Prometheus ${rate(inputs.inbound_prometheus_records_per_second)}`],
    ["Capacity", known(inputs.capacity_per_replica_records_per_second) ? perSecond(inputs.capacity_per_replica_records_per_second) + " a replica" + learned : "not known yet"],
    ["In use", known(inputs.utilization) ? Math.round(inputs.utilization * 100) + " %" : "unknown"],
    ["Lag", `${whole(inputs.lag_records)} records, of which ${whole(inputs.lag_counted_records)} count; ${whole(inputs.partitions)} partitions`],
    ["Group", `${inputs.group_state || "state unknown"}, ${whole(inputs.observed_replicas)} replicas, ${whole(inputs.replicas_in_flight)} on their way`],
    ["Rebalances", `${whole(inputs.rebalances)} so far` + (inputs.rebalancing ? `; one goes on, lag held for ${span(inputs.held_seconds)}` : "")],
  ];
  return element("dl", {}, ...lines.flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
}

function drawOne(detail, points) {
  const { target, decision, source } = detail;
  const tone = target.status === "valid" || target.status === "waiting" ? "lead" : "lead bad";
  const topics = source.topics.length ? source.topics.join(", ") : "all of the group's own";
  byId("one").replaceChildren(
    element("a", { href: "#" }, "All targets"),
    element("h1", {}, target.namespace + "/" + target.name),
    element("p", { class: tone }, lead(detail)),
    element("p", { class: "quiet" }, freshness(detail)),
    ...section("What is wrong", sentences(detail.problems)),
    charts(points),
    element("p", { class: "quiet" }, "Shaded: a rebalance was going on."),
    ...section("How it came to that", decision && trail(decision.trail)),
    ...section("Also", decision && sentences(decision.findings.map((finding) => `${finding.verdict}: ${finding.why}`))),
    ...section("Figures", decision && !decision.unknown_cause ? figures(decision.inputs) : null),
    ...section("Source", sentences([`Kafka ${source.cluster}, group ${source.consumer_group}, topics: ${topics}`].concat(source.prometheus_query ? [`Prometheus: ${source.prometheus_query}`] : []))),
    ...section("Notes", sentences(detail.notes)));
}

// === asking ===

async function ask(url) {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

async function drawTarget(parts) {
  const [namespace, name, trigger] = parts;
  const base = `api/v1/targets/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const selection = trigger ? "trigger=" + encodeURIComponent(trigger) : "";
  const key = parts.join("/");
  if (history.key !== key) history = { key, points: [] };
  const newest = history.points[history.points.length - 1];
  const [detail, newer] = await Promise.all([
    ask(`${base}?${selection}`),
    ask(`${base}/history?${selection}&since=${newest ? newest.at_millis : 0}`),
  ]);
  if (history.key !== key) return;
  history.points = history.points.concat(newer.points).slice(-POINTS_MAX);
  // A chart under the pointer is left alone, or the figures read there would jump away.
  if (!byId("one").querySelector("svg:hover")) drawOne(detail, history.points);
}

async function draw() {
  const one = location.hash.includes("/");
  try {
    const parts = location.hash.slice(1).split("/").map(decodeURIComponent);
    if (one) await drawTarget(parts);
    else drawList(await ask("api/v1/targets"));
    byId("trouble").textContent = "";
  } catch (error) {
    byId("trouble").textContent = error instanceof TypeError ? "The server does not answer; these are the last figures." : error.message;
  }
  byId("one").hidden = !one;
  byId("list").hidden = one;
}

let drawing = false;
async function tick() {
  if (drawing || document.hidden) return;
  drawing = true;
  try { await draw(); } finally { drawing = false; }
}

addEventListener("hashchange", () => { byId("one").replaceChildren(); draw(); });
document.addEventListener("visibilitychange", tick);
setInterval(tick, EVERY_MILLIS);
tick();
