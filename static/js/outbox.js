import { Shelf } from "./storage.js";

/**
 * A submission that the server has not answered yet, or has refused.
 *
 * @typedef {object} Submission
 * @property {string} clientId the UUID under which the server keeps it once, however often it is sent
 * @property {unknown} input as it travels
 * @property {string | string[]} label
 * @property {string} [explanation] where it is asked for before the answer
 * @property {import("./contexts.js").Given | null} [given] what it was written about
 * @property {unknown} made to go on with when it is refused: what the editor calls a snapshot
 * @property {number} madeAt milliseconds since 1970
 * @property {string} [refusal] the server's sentence; a refused submission is not sent again
 */

/**
 * Submissions on their way, kept until they are answered. Each has a storage entry of its own, so two
 * tabs cannot overwrite each other's; both may send the same one, which the server counts once.
 */
export class Outbox {
  #shelf;

  /** @param {string} prefix */
  constructor(prefix) {
    this.#shelf = new Shelf(`${prefix}:outbox`);
  }

  /** @param {Submission} submission */
  put(submission) {
    this.#shelf.set(submission.clientId, submission);
  }

  /**
   * @param {string} clientId
   * @returns {Submission | undefined}
   */
  get(clientId) {
    return this.#shelf.get(clientId);
  }

  /** @param {string} clientId */
  remove(clientId) {
    this.#shelf.remove(clientId);
  }

  /** @returns {Submission[]} oldest first */
  all() {
    return this.#shelf
      .values()
      .filter((entry) => entry?.clientId && entry.input)
      .sort((a, b) => a.madeAt - b.madeAt);
  }

  /** @returns {Submission[]} what still has to be sent */
  waiting() {
    return this.all().filter((submission) => submission.refusal === undefined);
  }

  /** @returns {Submission[]} what the server would not take */
  refused() {
    return this.all().filter((submission) => submission.refusal !== undefined);
  }
}

/** @returns {string} a random UUID, also where crypto.randomUUID is withheld (pages not over TLS) */
export function newUuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40; // version 4
  bytes[8] = (bytes[8] & 0x3f) | 0x80; // the variant of RFC 9562
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
