/**
 * @typedef {{ value: string, name: string, key: string | null }} Label
 *
 * The labels as a person meets them: names to read, keys to press, one of them chosen, or several, or
 * that it is none of them.
 *
 * Event: "choose" when the choice has changed, by whichever way.
 */
export class Labels extends EventTarget {
  #labels;
  #none;
  #form;

  /**
   * @param {Label[]} labels
   * @param {Label | null} none what stands for the empty choice, where one may choose several
   * @param {HTMLFormElement} form holds a button named "label" for each: to tick with `none`, else to
   *   choose from
   */
  constructor(labels, none, form) {
    super();
    this.#labels = none ? [...labels, none] : labels;
    this.#none = none;
    this.#form = form;
    form.addEventListener("change", ({ target }) => {
      if (none && target instanceof HTMLInputElement && target.checked) this.#part(target);
      this.dispatchEvent(new Event("choose"));
    });
  }

  /** @returns {string | string[] | null} in the task's order */
  get chosen() {
    const values = new FormData(this.#form).getAll("label").map(String);
    if (values.length === 0) return null;
    return this.#none ? values.filter((value) => value !== this.#none?.value) : values[0];
  }

  /** @param {string | string[] | null} answer */
  choose(answer) {
    const none = Array.isArray(answer) && answer.length === 0;
    const values = none ? [this.#none?.value] : [answer].flat();
    for (const input of this.#inputs) input.checked = values.includes(input.value);
    this.dispatchEvent(new Event("choose"));
  }

  /** What is said to somebody who has chosen none. */
  get missing() {
    const which = this.#none ? "Say which ones fit, or that none does" : "Say which one it is";
    return `${which} before you send it.`;
  }

  focus() {
    this.#form.querySelector("input")?.focus();
  }

  /**
   * @param {string[]} keys see `keysOf`
   * @returns {boolean} whether the first of them that stands for a label was pressed for it
   */
  press(keys) {
    const of = (key) => this.#labels.find((label) => label.key?.toLowerCase() === key);
    const label = keys.map(of).find(Boolean);
    this.#inputs.find((input) => input.value === label?.value)?.click();
    return label !== undefined;
  }

  /**
   * @param {string | string[]} answer as it travels
   * @returns {string} as people read it
   */
  nameOf(answer) {
    const name = (value) => this.#labels.find((label) => label.value === value)?.name ?? value;
    return [answer].flat().map(name).join(", ") || (this.#none?.name ?? "");
  }

  /** Some labels and none of them is no answer. @param {HTMLInputElement} ticked */
  #part(ticked) {
    for (const input of this.#inputs) {
      const apart = (input.value === this.#none?.value) !== (ticked.value === this.#none?.value);
      if (apart) input.checked = false;
    }
  }

  get #inputs() {
    return [...this.#form.elements].filter(
      (input) => input instanceof HTMLInputElement && input.name === "label",
    );
  }
}
