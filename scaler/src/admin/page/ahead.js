// What is known ahead of one target: in words, and drawn over the next 24 hours.
//
// Positions are shares of the width, so that nothing has to be drawn again when that changes. What is
// drawn is how much comes in or is asked for and when, not the replicas that the load takes in between.

import { clock, count, element, known, rate, span, svg } from "./words.js";

const DAY = 24 * 3600000;
// More surges than these are no list that anybody reads; the API and the drawing have all.
const SURGES_LISTED = 12;
const ROW = 44, LABEL = 16, AXIS = 18;

// What comes next of each event, and what follows it within a day; then the surges that are expected
// because they came on earlier days, and how often that was right.
export function sentences({ calendar = [], foresight, now_millis }) {
  const surges = foresight?.surges || [];
  const lines = [...calendar, ...surges.slice(0, SURGES_LISTED)].map(({ starts_at_millis, words }) => {
    const wait = (starts_at_millis - now_millis) / 1000;
    return `${words} (${wait > 0 ? "in " + span(wait) : "goes on"})`;
  });
  const more = surges.length - SURGES_LISTED;
  if (more > 0) lines.push(`and ${more} more within a day: evenkeel explain --ahead 24h lists them`);
  if (foresight?.words) lines.push(foresight.words);
  return lines;
}

// One row for each unit: figures of different ones are not comparable.
function rowsOf({ calendar = [], foresight, now_millis }) {
  const within = (one) => one.starts_at_millis < now_millis + DAY;
  const rows = [
    ["Events, replicas", count, "replicas", calendar],
    ["Events, records/s", rate, "records_per_second", calendar],
    ["As on earlier days, records/s", rate, "records_per_second", foresight?.surges || []],
  ];
  return rows
    .map(([title, words, field, all]) => ({ title, words, field, bars: all.filter((one) => known(one[field]) && within(one)) }))
    .filter(({ bars }) => bars.length > 0);
}

// The next 24 hours from `now`, a bar for each event and surge as high as what it says; null where
// there is none.
function drawDay(detail) {
  const rows = rowsOf(detail), now = detail.now_millis;
  if (rows.length === 0) return null;
  const share = (millis) => Math.min(Math.max((millis - now) / DAY, 0), 1) * 100;
  const bottom = rows.length * ROW;
  const drawing = svg("svg", { role: "img", height: bottom + AXIS, width: "100%", "aria-label": "The next 24 hours" });
  const shift = new Date(now).getTimezoneOffset() * 60000, step = DAY / 8;
  for (let at = Math.ceil((now - shift) / step) * step + shift; at < now + DAY; at += step) {
    const x = share(at) + "%";
    drawing.append(svg("line", { class: "grid", x1: x, x2: x, y1: 0, y2: bottom }));
    drawing.append(svg("text", { x, y: bottom + 14, "text-anchor": share(at) < 3 ? "start" : share(at) > 97 ? "end" : "middle" }, clock(at).slice(0, 5)));
  }
  rows.forEach(({ title, words, field, bars }, nth) => {
    const highest = bars.reduce((most, bar) => Math.max(most, bar[field]), 0), floor = (nth + 1) * ROW;
    drawing.append(svg("text", { x: 0, y: nth * ROW + 12 }, `${title}, at most ${words(highest)}`));
    drawing.append(svg("line", { class: "grid", x1: 0, x2: "100%", y1: floor, y2: floor }));
    for (const bar of bars) {
      const from = share(bar.starts_at_millis), height = Math.max(2, (bar[field] / (highest || 1)) * (ROW - LABEL));
      const made = svg("rect", { class: "bar", x: from + "%", y: floor - height, width: share(bar.ends_at_millis) - from + "%", height });
      made.append(svg("title", {}, bar.words));
      drawing.append(made);
    }
  });
  return element("figure", {}, element("figcaption", {}, element("b", {}, "Known ahead, the next 24 hours")), drawing);
}

let drawn = "";

// Draws it into `holder`; again only when a minute has passed or something else is known.
export function draw(holder, detail) {
  const now = JSON.stringify([Math.floor(detail.now_millis / 60000), detail.calendar, detail.foresight?.surges]);
  if (now === drawn) return;
  drawn = now;
  const figure = drawDay(detail);
  holder.replaceChildren(...(figure ? [figure] : []));
}
