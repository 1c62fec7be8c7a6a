// The admin page: asks the API again and again, shows one of its two views, and says how old that is.
//
// The place is in the address (`#` the list, `#/NAMESPACE/NAME` one target), so that it can be sent to
// somebody. API addresses are relative, so that the page works behind a proxy's path. Nothing is
// decided here: what needs attention, and why, is what the API says.

import { clock, mark, say, span } from "./words.js";
import * as list from "./list.js";
import * as target from "./target.js";

const EVERY_MILLIS = 2000;
// A large list on a slow line is asked for less often: at most a fifth of the time is spent asking.
const REST_PER_ASKING = 4;
// An answer that takes longer than this is given up.
const PATIENCE_MILLIS = 10000;
// An answer that is later than this is said to be missing while it is still waited for.
const LATE_MILLIS = 4000;

const byId = (id) => document.getElementById(id);

let asking = new AbortController();
let failure = "";
let askedAt = 0;
let wake = () => {};

// The API's own refusal; everything else that goes wrong is no answer at all.
class Refused extends Error {}

async function ask(path) {
  const signal = AbortSignal.any([asking.signal, AbortSignal.timeout(PATIENCE_MILLIS)]);
  // The page's own address may hold a name and a password, which no request may.
  const here = new URL(path, location.origin + location.pathname);
  const answer = await fetch(here, { cache: "no-store", signal });
  const body = await answer.json().catch(() => null);
  if (answer.status === 404 && body?.error) throw new Refused(body.error);
  if (answer.status === 401) throw new Error("it wants another token: load this page again");
  if (!answer.ok || body === null) throw new Error(`it said ${answer.status} ${answer.statusText}`.trim());
  return body;
}

// Where the address points: null is the list, otherwise namespace, name and perhaps trigger.
function place() {
  const parts = location.hash.replace(/^#\/?/, "").split("/");
  if (parts.length < 2) return null;
  try {
    return parts.slice(0, 3).map(decodeURIComponent);
  } catch {
    return parts.slice(0, 3);
  }
}

function show() {
  const here = place(), was = byId("one").hidden ? list : target;
  const now = here ? target : list;
  if (was !== now) was.leave();
  byId("one").hidden = !here;
  byId("list").hidden = Boolean(here);
  if (here) target.open(here);
  else if (was !== now) list.enter();
  tellTrouble();
}

async function refresh(view) {
  askedAt = Date.now();
  try {
    await view.refresh(ask, (error) => error instanceof Refused);
    failure = "";
  } catch (error) {
    if (asking.signal.aborted) return;
    failure = error.name === "TimeoutError" ? `no answer in ${PATIENCE_MILLIS / 1000} s` : error instanceof TypeError ? "no connection" : error.message;
  } finally {
    askedAt = 0;
  }
  tellTrouble();
}

function tellTrouble() {
  const view = byId("one").hidden ? list : target;
  const late = askedAt && Date.now() - askedAt > LATE_MILLIS ? "it takes long" : "";
  const what = failure || late;
  const pictured = view.picturedAt();
  const old = pictured ? ` What you see is of ${clock(pictured)}, ${span(Math.round((Date.now() - pictured) / 1000))} ago.` : "";
  byId("trouble").hidden = !what;
  say(byId("trouble"), what ? `The server does not answer (${what}).${old} Trying again every ${EVERY_MILLIS / 1000} s.` : "");
  mark(document.body, what ? "away" : "");
}

async function run() {
  for (;;) {
    let rest = EVERY_MILLIS;
    if (!document.hidden) {
      const began = Date.now();
      asking = new AbortController();
      await refresh(byId("one").hidden ? list : target);
      // Somebody went elsewhere meanwhile and waits for that.
      rest = asking.signal.aborted ? 0 : Math.max(rest, REST_PER_ASKING * (Date.now() - began));
    }
    await new Promise((resolve) => { wake = resolve; setTimeout(resolve, rest); });
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (byId("one").hidden) list.onKey(event);
  else if (event.key === "Escape") location.hash = "";
}

addEventListener("hashchange", () => { show(); asking.abort(); wake(); });
document.addEventListener("visibilitychange", () => wake());
document.addEventListener("keydown", onKey);
setInterval(tellTrouble, 1000);
show();
run();
