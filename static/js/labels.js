/**
 * The labels as a person meets them: names to read, keys to press, one of them chosen.
 *
 * Event: "choose" when the choice has changed, by whichever way.
 */
export class Labels extends EventTarget {
  #labels;
  #form;

  /**
   * @param {{ value: string, name: string, key: string | null }[]} labels
   * @param {HTMLFormElement} form holds a radio button named "label" for each
   */
  constructor(labels, form) {
    super();
    this.#labels = labels;
    this.#form = form;
    form.addEventListener("change", () => this.dispatchEvent(new Event("choose")));
  }

  /** @returns {string | null} */
  get chosen() {
    const value = new FormData(this.#form).get("label");
    return typeof value === "string" ? value : null;
  }

  /** @param {string | null} value */
  choose(value) {
    for (const radio of this.#form.querySelectorAll('input[name="label"]')) {
      if (radio instanceof HTMLInputElement) radio.checked = radio.value === value;
    }
    this.dispatchEvent(new Event("choose"));
  }

  /**
   * @param {string[]} keys see `keysOf`
   * @returns {string | undefined} the value of the label that the first of them stands for
   */
  byKey(keys) {
    const of = (key) => this.#labels.find((label) => label.key?.toLowerCase() === key)?.value;
    return keys.map(of).find((value) => value !== undefined);
  }

  /**
   * @param {string} value a label as it travels
   * @returns {string} as people read it
   */
  nameOf(value) {
    return this.#labels.find((label) => label.value === value)?.name ?? value;
  }
}
