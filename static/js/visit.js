/** The strip of a visit: how much is left, what is earned, and that somebody is at work. */
import { askAboutVisit, pass } from "./pass.js";

const EVERY_MS = 20_000;
const AFTER_AN_ACT_MS = 1_500;
const BURST_KEYS = 10;
const BURST_MS = 400;

const none = () => ({ paste: 0, away: 0, burst: 0 });
let signals = none();
/** @type {number[]} when the latest keys were pressed; not which */
let keys = [];
let active = true;
let timer = 0;

/** @param {string} name */
const shown = (name) => /** @type {HTMLElement} */ (document.querySelector(`[data-visit="${name}"]`));

async function look() {
  clearTimeout(timer);
  timer = setTimeout(look, EVERY_MS);
  if (document.visibilityState === "hidden" || !active) return;
  active = false;
  const told = signals;
  signals = none();
  const result = await askAboutVisit("", told).catch(() => null);
  if (!result) {
    signals = told; // not reachable: it is said the next time
    active = true;
    return;
  }
  const { ok, answer } = result;
  shown("complaint").textContent = ok ? "" : (answer?.error?.message ?? "");
  if (!ok) return;
  shown("left").textContent = answer.left;
  shown("earned").textContent = answer.earned;
  shown("finish").hidden = !answer.may_finish;
  shown("go-on").hidden = answer.may_finish || !answer.work || answer.work === pass?.work;
}

function acted() {
  active = true;
  clearTimeout(timer);
  timer = setTimeout(look, AFTER_AN_ACT_MS);
}

for (const sign of ["submit", "click", "keyup"]) addEventListener(sign, acted, { capture: true });
for (const sign of ["pointermove", "touchmove"]) {
  addEventListener(sign, () => (active = true), { passive: true, capture: true });
}
addEventListener("paste", () => (signals.paste += 1), { capture: true });
addEventListener(
  "keydown",
  ({ repeat, timeStamp }) => {
    if (repeat) return;
    keys = [...keys.slice(1 - BURST_KEYS), timeStamp];
    if (keys.length < BURST_KEYS || timeStamp - keys[0] > BURST_MS) return;
    signals.burst += 1;
    keys = [];
  },
  { capture: true, passive: true },
);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") signals.away += 1;
});
timer = setTimeout(look, EVERY_MS);
