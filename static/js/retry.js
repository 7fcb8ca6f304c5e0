import { RestError, Unreachable } from "./rest.js";

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/** @typedef {"down" | "busy"} Trouble the server cannot be reached, or asks for patience */

/**
 * Does something again after a pause that doubles with each failure, or at once when the connection
 * or the reader comes back. Doubling keeps a struggling server alone; chance keeps a class from
 * returning as one.
 */
export class Retry {
  #again;
  #firstMs;
  #failures = 0;
  #timer = 0;
  #early = () => {
    if (document.visibilityState === "visible") this.now();
  };

  /**
   * @param {() => void} again
   * @param {number} [firstMs] the first pause
   */
  constructor(again, firstMs = FIRST_MS) {
    this.#again = again;
    this.#firstMs = firstMs;
  }

  /**
   * @param {number} [askedMs] how long the server asked to wait, which nothing shortens
   * @returns {number} milliseconds until the next try
   */
  later(askedMs) {
    this.#stop();
    const pause = Math.min(LONGEST_MS, this.#firstMs * 2 ** this.#failures);
    this.#failures += 1;
    const inMs = askedMs ?? pause * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.now(), inMs);
    if (askedMs === undefined) {
      addEventListener("online", this.#early);
      document.addEventListener("visibilitychange", this.#early);
    }
    return inMs;
  }

  /** Do it now if it waits. */
  now() {
    if (!this.#timer) return;
    this.#stop();
    this.#again();
  }

  /** It went well: the next failure is a first one. */
  succeeded() {
    this.#stop();
    this.#failures = 0;
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    removeEventListener("online", this.#early);
    document.removeEventListener("visibilitychange", this.#early);
  }
}

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
  /** @type {(value?: unknown) => void} */
  let goOn = () => {};
  const retry = new Retry(() => goOn());
  for (;;) {
    try {
      const answer = await call();
      tell(null);
      return answer;
    } catch (error) {
      const trouble = troubleOf(error);
      tell(trouble);
      if (!trouble) throw error;
      await new Promise((resolve) => {
        goOn = resolve;
        retry.later(error instanceof RestError ? error.retryMs : undefined);
      });
    }
  }
}

/**
 * @param {unknown} error of a call
 * @returns {Trouble | null} null when waiting does not cure it
 */
export function troubleOf(error) {
  if (error instanceof Unreachable) return "down";
  if (!(error instanceof RestError)) return null;
  return error.status === 429 ? "busy" : error.status >= 500 ? "down" : null;
}
