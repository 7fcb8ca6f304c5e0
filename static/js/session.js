/**
 * How it goes: the strip of totals.
 *
 * @typedef {{ tries: number, fooled: number, verified: number, streak: number }} Totals
 */
export class SessionStrip {
  /** @type {Totals} */
  #totals = { tries: 0, fooled: 0, verified: 0, streak: 0 };

  /** Starts from what the server wrote into the page. */
  constructor() {
    for (const element of document.querySelectorAll("[data-session]")) {
      if (!(element instanceof HTMLElement)) continue;
      const name = /** @type {keyof Totals} */ (element.dataset.session);
      this.#totals[name] = Number(element.textContent);
    }
  }

  /** @param {Totals} totals as the server counts them */
  show(totals) {
    this.#totals = totals;
    for (const [name, count] of Object.entries(totals)) {
      const element = document.querySelector(`[data-session="${name}"]`);
      if (element) element.textContent = String(count);
    }
  }

  /**
   * Count one submission here: answers over REST carry no totals.
   *
   * @param {boolean} fooled
   */
  count(fooled) {
    const { tries, fooled: foolings, verified, streak } = this.#totals;
    this.show({
      tries: tries + 1,
      fooled: foolings + (fooled ? 1 : 0),
      verified,
      streak: fooled ? streak + 1 : 0,
    });
  }
}
