// Charts of one target over time: one time axis for all, one cursor for all.
//
// A line breaks where the figure is unknown and where no decision was made; such times are shaded, and
// so are rebalances. The axis ends at the server's now, so data that stopped coming is seen to stop.

import { clock, element, known, say, short, svg } from "./words.js";

const HEIGHT = 176, LEFT = 48, RIGHT = 10, TOP = 10, BOTTOM = 22;
// Pixels that a label on the time axis takes.
const LABEL = 64;
// Older points are up to 10 s apart; what is much further apart has something missing in between.
const HOLE_MILLIS = 30000;
const HOLE_POLLS = 4;

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE;
const TIME_STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND).concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), [1, 2, 3, 6, 12, 24].map((n) => n * HOUR));

// === scales ===

function valueSteps(highest, whole) {
  const rough = Math.max(highest, 0) / 3 || (whole ? 1 : 0.1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].find((n) => n * power >= rough) * power, whole ? 1 : 0);
  const ticks = [0];
  while (ticks[ticks.length - 1] < highest || ticks.length < 2) ticks.push(ticks.length * step);
  return ticks;
}

function timeTicks(from, until, room) {
  const most = Math.max(1, Math.floor(room / LABEL));
  const step = TIME_STEPS.find((step) => (until - from) / step <= most) || 24 * HOUR;
  const shift = new Date(until).getTimezoneOffset() * MINUTE;
  const ticks = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= until; at += step) ticks.push(at);
  return { ticks, label: (at) => clock(at).slice(0, step < MINUTE ? 8 : 5) };
}

// === what is drawn ===

// Runs of points in which `within` holds: from the first to the one that ends it.
function runs(points, within, until) {
  const found = [];
  let from = null;
  for (const point of points) {
    if (within(point) && from === null) from = point.at_millis;
    if (!within(point) && from !== null) { found.push([from, point.at_millis]); from = null; }
  }
  if (from !== null) found.push([from, until]);
  return found;
}

function holes(points, hole, until) {
  const times = points.map((point) => point.at_millis).concat(until);
  return times.slice(1).map((time, nth) => [times[nth], time]).filter(([from, to]) => to - from > hole);
}

function path(points, figure, x, y, stepped, hole) {
  let out = "", before = null, alone = false;
  for (const point of points) {
    const value = figure(point);
    if (!known(value)) { if (alone) out += "h0"; alone = false; before = null; continue; }
    if (before !== null && point.at_millis - before > hole) { if (alone) out += "h0"; before = null; }
    const [across, up] = [x(point.at_millis).toFixed(1), y(value).toFixed(1)];
    if (before === null) out += `M${across} ${up}`;
    else out += stepped ? `H${across}V${up}` : `L${across} ${up}`;
    alone = before === null;
    before = point.at_millis;
  }
  return alone ? out + "h0" : out;
}

function drawFrame(layer, size, scales) {
  const { x, y, values, times } = scales;
  for (const value of values) {
    layer.append(svg("line", { class: "grid", x1: LEFT, x2: size - RIGHT, y1: y(value), y2: y(value) }));
    layer.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const at of times.ticks) {
    layer.append(svg("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
    // A label at the edge stays inside.
    const anchor = x(at) > size - LABEL / 2 ? "end" : x(at) < LEFT + 8 ? "start" : "middle";
    layer.append(svg("text", { x: x(at), y: HEIGHT - 6, "text-anchor": anchor }, times.label(at)));
  }
}

// === one chart ===

// `curves` are { name, ink, field }, `say` puts a figure into words with its unit, `whole` is true
// for what has no fractions and moves in steps.
function makeChart({ title, curves, words, whole }) {
  const legends = curves.map((curve) => element("span", { class: "ink-" + curve.ink }));
  const at = element("span", { class: "at quiet" });
  const drawing = svg("svg", { role: "img", tabindex: "0", height: HEIGHT });
  const layer = svg("g"), cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const none = svg("text", { "text-anchor": "middle", y: HEIGHT / 2 });
  drawing.append(layer, cursor, none);
  const figure = element("figure", {}, element("figcaption", {}, element("b", {}, title), at, ...legends), drawing);
  let x = () => 0;

  function draw(view) {
    const { points, from, until, size, hole } = view;
    const highest = points.reduce((most, point) => Math.max(most, ...curves.map((curve) => point[curve.field] || 0)), 0);
    const values = valueSteps(highest, whole), top = values[values.length - 1];
    x = (millis) => LEFT + ((millis - from) / Math.max(1, until - from)) * (size - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
    const shade = (kind) => ([start, end]) => svg("rect", { class: kind, x: x(start), y: TOP, width: Math.max(2, x(end) - x(start)), height: HEIGHT - TOP - BOTTOM });
    drawing.setAttribute("viewBox", `0 0 ${size} ${HEIGHT}`);
    drawing.setAttribute("width", size);
    layer.replaceChildren(...view.unknown.map(shade("shade-unknown")), ...view.rebalances.map(shade("shade")));
    drawFrame(layer, size, { x, y, values, times: timeTicks(from, until, size - LEFT - RIGHT) });
    for (const { ink, field } of curves) {
      layer.append(svg("path", { class: "curve stroke-" + ink, "data-field": field, d: path(points, (point) => point[field], x, y, whole, hole) }));
    }
    none.setAttribute("x", size / 2);
    say(none, points.length < 2 ? "not enough history yet" : "");
  }

  // The legend says the newest figures, or those under the cursor.
  function tell(point, pointed) {
    curves.forEach((curve, nth) => {
      const value = point ? point[curve.field] : null;
      say(legends[nth], `${curve.name} ${known(value) ? words(value) : "unknown"}`);
    });
    say(at, pointed ? clock(point.at_millis) : "");
    drawing.setAttribute("aria-label", `${title}: ${pointed ? clock(point.at_millis) + ", " : ""}${legends.map((legend) => legend.textContent).join(", ")}`);
    cursor.setAttribute("visibility", pointed ? "visible" : "hidden");
    if (pointed) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(point.at_millis));
  }

  return { figure, drawing, draw, tell };
}

// === all charts of a target ===

// Draws `kinds` of charts into `holder`. What comes back has `draw(points, now, poll, range)` and
// `clear()`; times are in milliseconds.
export function makeCharts(holder, kinds) {
  const all = kinds.map(makeChart);
  let last = null, view = null, pointedAt = null;
  holder.replaceChildren(...all.map((chart) => chart.figure));

  function draw(points, now, poll, range) {
    last = [points, now, poll, range];
    const from = Math.max(now - range, points.length ? points[0].at_millis : now);
    // One point before the edge, so that a line comes in from there and not out of nowhere.
    const first = points.findLastIndex((point) => point.at_millis < from);
    const hole = Math.max(HOLE_MILLIS, HOLE_POLLS * poll);
    const shown = points.slice(Math.max(0, first + 1));
    const unknown = runs(shown, (point) => !known(point.desired_replicas), now).concat(holes(shown, hole, now));
    const rebalances = runs(shown, (point) => point.rebalancing, now);
    view = { points: shown, from, until: now, hole, unknown, rebalances, size: Math.max(240, all[0].figure.clientWidth - 24) };
    for (const chart of all) chart.draw(view);
    point(pointedAt);
    return { unknown: unknown.length > 0, rebalances: rebalances.length > 0 };
  }

  // Points at the decision nearest to `millis` in every chart; null points at none.
  function point(millis) {
    const points = view?.points || [];
    pointedAt = points.length ? millis : null;
    if (pointedAt === null) {
      for (const chart of all) chart.tell(points[points.length - 1], false);
      return;
    }
    const near = points.reduce((best, one) => (Math.abs(one.at_millis - millis) < Math.abs(best.at_millis - millis) ? one : best));
    pointedAt = near.at_millis;
    for (const chart of all) chart.tell(near, true);
  }

  function step(by) {
    const points = view?.points || [];
    const at = pointedAt === null ? points.length : points.findIndex((one) => one.at_millis >= pointedAt);
    const next = points[Math.min(Math.max(at + by, 0), points.length - 1)];
    if (next) point(next.at_millis);
  }

  function onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15, Home: -Infinity, End: Infinity };
    if (event.key in steps) step(steps[event.key]);
    else if (event.key === "Escape" && pointedAt !== null) point(null);
    else return;
    event.preventDefault();
  }

  function onPointer(event) {
    if (!view) return;
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (view.size - LEFT - RIGHT);
    point(view.from + share * (view.until - view.from));
  }

  for (const { drawing } of all) {
    drawing.addEventListener("pointermove", onPointer);
    drawing.addEventListener("pointerdown", onPointer);
    // A finger that was lifted leaves its reading there; a mouse takes it along.
    drawing.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") point(null); });
    drawing.addEventListener("keydown", onKey);
  }
  // In the next frame, because drawing changes sizes again.
  new ResizeObserver(() => requestAnimationFrame(() => { if (last) draw(...last); })).observe(holder);
  return { draw, clear: () => { last = view = pointedAt = null; } };
}
