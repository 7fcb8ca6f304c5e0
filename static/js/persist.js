import { RestError, Unreachable } from "./rest.js";

const FIRST_RETRY_MS = 500;
const SLOWEST_RETRY_MS = 15_000;

/** @typedef {"down" | "busy"} Trouble the server cannot be reached, or asks for patience */

/**
 * Call until the server has answered one way or the other.
 *
 * @template T
 * @param {() => Promise<T>} call safe to repeat
 * @param {(trouble: Trouble | null) => void} tell hears after each try how it went
 * @returns {Promise<T>}
 * @throws {RestError} a refusal that waiting does not cure
 */
export async function persist(call, tell) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await call();
      tell(null);
      return answer;
    } catch (error) {
      const busy = error instanceof RestError && error.status === 429;
      const down =
        error instanceof Unreachable || (error instanceof RestError && error.status >= 500);
      tell(busy ? "busy" : down ? "down" : null);
      if (!busy && !down) throw error;
      const backOff = Math.min(SLOWEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
      const asked = error instanceof RestError ? error.retryMs : undefined;
      await pause(asked ?? backOff * (0.75 + Math.random() / 2));
    }
  }
}

/** @param {number} ms cut short when the connection comes back */
function pause(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve(undefined);
    }
    addEventListener("online", done);
  });
}
