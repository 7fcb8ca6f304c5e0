import { part } from "./page_parts.js";

/**
 * What somebody writes about: the server gives one at a time.
 *
 * @typedef {object} Given
 * @property {string} context its id
 * @property {any} data what it says of an input
 * @property {string | null} goal the label to write for, null where one chooses
 * @property {number | null} tries_left
 *
 * Event: "given" when it is another one, or none.
 */
export class Contexts extends EventTarget {
  #rest;
  #slug;
  #nameOf;
  #words = part("about-words", HTMLElement);
  /** @type {Given | null} */
  #given = null;

  /**
   * @param {object} options
   * @param {import("./rest.js").Rest} options.rest
   * @param {string} options.slug
   * @param {(label: string) => string} options.nameOf a label's name for people
   */
  constructor({ rest, slug, nameOf }) {
    super();
    this.#rest = rest;
    this.#slug = slug;
    this.#nameOf = nameOf;
  }

  get given() {
    return this.#given;
  }

  /** Take up one that was given before. @param {Given | null} given */
  take(given) {
    this.#given = given;
    this.#say();
    part("workbench", HTMLElement).hidden = given === null;
    part("none-left", HTMLElement).hidden = given !== null;
    this.dispatchEvent(new Event("given"));
  }

  /** @param {{ skip?: boolean }} [options] skip: not the present one again */
  async next({ skip = false } = {}) {
    const body = skip && this.#given ? { skip: this.#given.context } : {};
    const workbench = part("workbench", HTMLElement);
    workbench.inert = true; // what is written now would be about the one before
    try {
      this.take(await this.#rest.post(`tasks/${this.#slug}/contexts/next/`, body));
    } catch (error) {
      this.#words.textContent = `${error instanceof Error ? error.message : ""} Try again.`;
    } finally {
      workbench.inert = false;
    }
  }

  /** Something was submitted about it. */
  tried() {
    if (!this.#given?.tries_left) return;
    this.#given.tries_left -= 1;
    this.#say();
  }

  #say() {
    const { goal, tries_left: left } = this.#given ?? {};
    const tries = left === 1 ? "1 try left." : `${left} tries left.`;
    this.#words.textContent = [
      goal ? `Write for ${this.#nameOf(goal)}.` : "",
      typeof left === "number" ? tries : "",
    ].join(" ");
  }
}
