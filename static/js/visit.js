/** The strip of a visit: how much is left, what is earned, and that somebody is at work. */
import { askAboutVisit, pass } from "./pass.js";

const EVERY_MS = 20_000;
const AFTER_AN_ACT_MS = 1_500;

let signals = { paste: 0, away: 0 };
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
  signals = { paste: 0, away: 0 };
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
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") signals.away += 1;
});
timer = setTimeout(look, EVERY_MS);
