import { RestError } from "./rest.js";

const AT_WORK_MS = 60_000;
const LOOK_MS = 5_000;
const SIGNS_OF_LIFE = ["pointerdown", "pointermove", "keydown", "wheel", "touchmove"];

/**
 * Ask for more time for what is held, while the page is seen and somebody works: a lease that
 * nobody looks at runs out, so that others get the item.
 *
 * @typedef {import("./choices.js").Held} Held
 * @param {object} options
 * @param {import("./rest.js").Rest} options.rest
 * @param {number} options.leaseSeconds
 * @param {() => Held[]} options.held
 * @param {(expiresAt: string) => number} options.localTime
 * @param {(item: Held) => void} options.extended its `until` is later now
 * @param {(item: Held, sentence: string) => void} options.lost the server says that it is over
 */
export function keepWhileAtWork({ rest, leaseSeconds, held, localTime, extended, lost }) {
  /** Leases that the server does not lengthen any more. @type {Set<string>} */
  const final = new Set();
  let lastSeen = Date.now();
  for (const sign of SIGNS_OF_LIFE) {
    addEventListener(sign, () => (lastSeen = Date.now()), { passive: true, capture: true });
  }

  /** @param {Held} item */
  async function keep(item) {
    try {
      const { expires_at: expiresAt } = await rest.post(`validations/${item.lease}/heartbeat/`);
      if (Date.parse(expiresAt) <= Date.parse(item.expires_at)) final.add(item.lease);
      item.expires_at = expiresAt;
      item.until = localTime(expiresAt);
      extended(item);
    } catch (error) {
      if (error instanceof RestError && error.status === 409) lost(item, error.message);
    }
  }

  setInterval(() => {
    if (document.visibilityState === "hidden" || Date.now() - lastSeen > AT_WORK_MS) return;
    for (const item of held()) {
      const left = item.until - Date.now();
      if (left > 0 && left < leaseSeconds * 500 && !final.has(item.lease)) void keep(item);
    }
  }, Math.min(LOOK_MS, leaseSeconds * 150));
}
