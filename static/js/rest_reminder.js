/**
 * Call when somebody has worked for so long, and again after as long: time in which the page is
 * hidden or left alone counts as rest.
 *
 * @param {number} minutes
 * @param {() => void} remind
 * @returns {{ restart: () => void }}
 */
export function remindToRest(minutes, remind) {
  const STEP_S = 5;
  const IDLE_S = 120;
  let worked = 0;
  let idle = 0;
  for (const sign of ["pointerdown", "keydown"]) {
    addEventListener(sign, () => (idle = 0), { passive: true, capture: true });
  }
  setInterval(() => {
    idle += STEP_S;
    if (document.visibilityState === "hidden" || idle > IDLE_S) return;
    worked += STEP_S;
    if (worked < minutes * 60) return;
    worked = 0;
    remind();
  }, STEP_S * 1000);
  return { restart: () => void (worked = 0) };
}
