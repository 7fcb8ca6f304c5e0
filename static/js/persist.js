import { RestError, Unreachable } from "./rest.js";

const FIRST_RETRY_MS = 500;
const SLOWEST_RETRY_MS = 15_000;

/**
 * Call until the server has answered one way or the other.
 *
 * @template T
 * @param {() => Promise<T>} call safe to repeat
 * @param {(trouble: boolean) => void} tell hears whether the server can be reached, after each try
 * @returns {Promise<T>}
 * @throws {RestError} a refusal that waiting does not cure
 */
export async function persist(call, tell) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await call();
      tell(false);
      return answer;
    } catch (error) {
      const busy = error instanceof RestError && error.status === 429;
      const down =
        error instanceof Unreachable || (error instanceof RestError && error.status >= 500);
      tell(down);
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
