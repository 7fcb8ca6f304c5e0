/** The annotator's editor of texts: a field to write into. */
import { part } from "../../js/page_parts.js";

/** As static/js/editor.js describes it. A text is sent as it was typed. */
export class Editor extends EventTarget {
  #field = part("text", HTMLTextAreaElement);

  constructor() {
    super();
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.dispatchEvent(new Event("submit"));
    });
  }

  get isEmpty() {
    return this.#field.value.trim() === "";
  }

  /** @param {boolean} inert */
  set inert(inert) {
    this.#field.inert = inert;
  }

  toInput() {
    return { text: this.#field.value };
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
