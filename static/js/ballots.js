/**
 * @typedef {import("./choices.js").Held} Held
 * @typedef {import("./judging_words.js").Answer} Answer
 * @typedef {object} Ballot an answer on its way
 * @property {string} lease
 * @property {string} example
 * @property {Answer} answer
 * @property {number} at milliseconds since 1970
 * @property {Held} [item] what it answers; missing when it was kept from an earlier visit
 */

/**
 * Answers that the server has not acknowledged, oldest first. Each has a storage entry of its own,
 * so that two tabs do not overwrite each other's; both may send it, and it counts once.
 */
export class Ballots {
  /** @type {Ballot[]} */
  #list = [];
  #shelf;

  /** @param {import("./storage.js").Shelf} shelf */
  constructor(shelf) {
    this.#shelf = shelf;
  }

  get none() {
    return this.#list.length === 0;
  }

  get last() {
    return this.#list.at(-1);
  }

  /**
   * @param {Held} item
   * @param {Answer} answer
   * @returns {Ballot}
   */
  add(item, answer) {
    const { lease, example } = item;
    const kept = { lease, example, answer, at: Date.now() };
    // A skip is not worth sending another day: its lease is given back when the page is left.
    if (!("skip" in answer)) this.#shelf.set(nameOf(kept), kept);
    const ballot = { ...kept, item };
    this.#list.push(ballot);
    return ballot;
  }

  /** @returns {Ballot[]} those that an earlier visit left, from now on among ours */
  takeUp() {
    const kept = this.#shelf
      .values(nameOf({ lease: "" }))
      .filter(({ lease }) => !this.#list.some((other) => other.lease === lease))
      .sort((a, b) => a.at - b.at);
    this.#list.push(...kept);
    return kept;
  }

  /** @param {Ballot} ballot */
  has(ballot) {
    return this.#list.includes(ballot);
  }

  /** @param {Held} item */
  for(item) {
    return this.#list.find(({ lease }) => lease === item.lease);
  }

  /** @param {Ballot} ballot that need not be sent any more */
  drop(ballot) {
    this.leave(ballot);
    this.#shelf.remove(nameOf(ballot));
  }

  /** @param {Ballot} ballot that another visit may send */
  leave(ballot) {
    this.#list = this.#list.filter((other) => other !== ballot);
  }
}

/** @param {{ lease: string }} ballot */
function nameOf({ lease }) {
  return `ballot:${lease}`;
}
