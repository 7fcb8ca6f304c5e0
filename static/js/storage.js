/**
 * What the browser keeps between visits, as JSON under one prefix. Where storage is shut or full it
 * keeps things for as long as the page is open, so callers never need to ask.
 */
export class Shelf {
  /** @type {Map<string, string>} */
  #memory = new Map();
  #prefix;

  /** @param {string} prefix names the task and the person: two people may share a browser */
  constructor(prefix) {
    this.#prefix = `${prefix}:`;
  }

  /**
   * @param {string} name
   * @returns {any} undefined when there is nothing, or nothing readable
   */
  get(name) {
    const key = this.#prefix + name;
    let text = this.#memory.get(key);
    try {
      text ??= localStorage.getItem(key) ?? undefined;
      return text === undefined ? undefined : JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  set(name, value) {
    const key = this.#prefix + name;
    const text = JSON.stringify(value);
    try {
      localStorage.setItem(key, text);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, text);
    }
  }

  /** @param {string} name */
  remove(name) {
    const key = this.#prefix + name;
    this.#memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // It was only in memory.
    }
  }

  /**
   * @param {string} [beginning] of the names
   * @returns {any[]} everything kept under such names
   */
  values(beginning = "") {
    const keys = new Set(this.#memory.keys());
    try {
      for (const key of Object.keys(localStorage)) keys.add(key);
    } catch {
      // Only what is in memory.
    }
    return [...keys]
      .filter((key) => key.startsWith(this.#prefix + beginning))
      .map((key) => this.get(key.slice(this.#prefix.length)))
      .filter((value) => value !== undefined);
  }
}
