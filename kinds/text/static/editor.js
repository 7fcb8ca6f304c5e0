/** The annotator's editor of texts: a field to write into, below what one writes about. */
import { part } from "../../js/page_parts.js";
import { passage } from "./passage.js";

/** As static/js/editor.js describes it. A text is sent as it was typed. */
export class Editor extends EventTarget {
  /** What the text is called in an input. */
  field = "text";

  #field = part("text", HTMLTextAreaElement);

  constructor() {
    super();
    this.#field.addEventListener("input", () => this.#changed());
  }

  get isEmpty() {
    return this.#field.value.trim() === "";
  }

  /** @param {boolean} inert */
  set inert(inert) {
    this.#field.inert = inert;
  }

  toInput() {
    return { [this.field]: this.#field.value };
  }

  /** @param {unknown} data */
  about(data) {
    const shown = part("passage", HTMLElement);
    shown.replaceChildren(...passage(data));
    shown.hidden = !data;
  }

  snapshot() {
    return this.#field.value;
  }

  /** @param {string} [text] */
  load(text = "") {
    this.#field.value = text;
    this.#changed();
  }

  reset() {
    this.load();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  preview() {
    const quote = document.createElement("blockquote");
    quote.className = "written";
    quote.dir = "auto";
    quote.textContent = this.#field.value;
    return quote;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
    this.dispatchEvent(new Event("rest"));
  }
}
