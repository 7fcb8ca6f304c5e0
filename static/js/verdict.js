import { shareOf } from "./bars.js";
import { eachOf } from "./reading.js";
import { RestError } from "./rest.js";
import { reasons } from "./why.js";

/**
 * What lies over the editor once something was submitted: that it is on its way, what the model made
 * of it, or why the server would not take it.
 *
 * Events: "next" (make another), "edit" (go on with this one).
 */
export class Verdict extends EventTarget {
  #panel;
  #rest;
  #sandbox;
  #nameOf;
  #kindWords;
  #explains;
  #asked;
  /** Whether nothing more can be made before it is explained. */
  #owes = false;
  /** What was submitted, once it was accepted. @type {string | null} */
  #acceptedId = null;
  /** What may be explained. @type {string | null} */
  #exampleId = null;

  /**
   * @param {HTMLElement} panel
   * @param {object} options
   * @param {import("./rest.js").Rest} options.rest
   * @param {boolean} options.sandbox whether what is submitted counts nowhere
   * @param {boolean} options.explains whether models may tell why they answered so
   * @param {{ asked: string, of: string, required: boolean }} options.explanation what the task asks of
   *   whom, and when
   * @param {(answer: string | string[]) => string} options.nameOf an answer as people read it
   * @param {import("./editor.js").Words} options.words
   */
  constructor(panel, { rest, sandbox, explains, explanation, nameOf, words }) {
    super();
    this.#panel = panel;
    this.#explains = explains;
    this.#asked = explanation;
    this.#rest = rest;
    this.#sandbox = sandbox;
    this.#nameOf = nameOf;
    this.#kindWords = words;
    for (const way of ["next", "edit"]) {
      this.#part(way).addEventListener("click", () => this.#leave(way));
    }
    this.#part("explain").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#explain();
    });
    this.#explanation.addEventListener("input", () => this.#saved(""));
    this.#part("why").addEventListener("click", () => this.#why());
  }

  get isOpen() {
    return !this.#panel.hidden;
  }

  /** @param {Node} made what was submitted, to be looked at */
  sending(made) {
    this.#exampleId = this.#acceptedId = null;
    this.#owes = false;
    this.#explanation.value = "";
    this.#part("reasons").hidden = true;
    this.#saved("");
    this.#part("made").replaceChildren(made);
    this.#show("sending", "On its way…", "");
  }

  /** @param {string} sentence why it takes longer */
  delayed(sentence) {
    this.#show("waiting", "Kept on this device", sentence);
  }

  /**
   * @param {import("./reading.js").Told & { id: string, fooled: boolean }} answer
   * @param {string | string[]} label the author's
   * @returns {string} the verdict as a sentence
   */
  accepted({ id, fooled, prediction, probabilities, targets }, label) {
    this.#acceptedId = id;
    const { asked, of, required } = this.#asked;
    const wanted = asked === "after" && (of === "all" || (of === "fooled") === fooled);
    this.#exampleId = wanted ? id : null;
    this.#owes = wanted && required;
    const share = shareOf(prediction, probabilities);
    const read = targets
      ? eachOf(targets, this.#nameOf, this.#kindWords.reads)
      : `It ${this.#kindWords.reads} ${this.#nameOf(prediction)}${share && ` at ${share}`}`;
    const title = fooled ? (targets ? "You fooled them" : "You fooled it") : read;
    const next = this.#sandbox
      ? "With an account, others would now look whether they agree."
      : "Others will now look whether they agree.";
    const words = fooled
      ? `${read}; you say ${this.#nameOf(label)}. ${next}`
      : `${this.#kindWords.wasRight} ${this.#kindWords.alterThis}, or try another.`;
    this.#show(fooled ? "fooled" : "read", title, words);
    return `${title}. ${words}`;
  }

  /** @param {string} sentence the server's */
  refused(sentence) {
    this.#show("refused", "Not taken", `${sentence} Your ${this.#kindWords.thing} is still here.`);
  }

  /**
   * Something made before must be explained first.
   *
   * @param {string} id
   * @param {string} sentence the server's
   */
  owed(id, sentence) {
    this.#exampleId = id;
    this.#owes = true;
    this.#show("refused", "One thing first", sentence);
    this.#explanation.focus();
  }

  close() {
    this.#panel.hidden = true;
  }

  /**
   * @param {"sending" | "waiting" | "fooled" | "read" | "refused"} state
   * @param {string} title
   * @param {string} words
   */
  #show(state, title, words) {
    this.#panel.hidden = false;
    this.#panel.dataset.state = state;
    this.#part("title").textContent = title;
    this.#part("words").textContent = words;
    this.#part("explain").hidden = this.#exampleId === null;
    this.#part("why").hidden = this.#acceptedId === null || !this.#explains;
    this.#part("next").hidden = state === "refused" || state === "sending";
    this.#part("edit").hidden = state !== "refused" && state !== "read";
    this.#part("edit").textContent =
      state === "refused" ? `Back to the ${this.#kindWords.thing}` : this.#kindWords.alterIt;
    const focused = document.activeElement;
    if (focused === document.body || focused?.closest("[data-annotate]")) {
      this.#part(state === "refused" ? "edit" : "next").focus({ preventScroll: true });
    }
  }

  /** @param {string} way "next" or "edit" */
  async #leave(way) {
    if (this.#owes) await this.#explain();
    if (!this.#owes) this.dispatchEvent(new Event(way));
    else this.#explanation.focus();
  }

  async #why() {
    const id = this.#acceptedId;
    const box = this.#part("reasons");
    this.#part("why").hidden = true;
    box.hidden = false;
    box.textContent = "Looking…";
    try {
      const why = await this.#rest.get(`examples/${id}/why/`);
      if (id === this.#acceptedId) box.replaceChildren(...reasons(why, this.#nameOf));
    } catch (error) {
      if (id !== this.#acceptedId) return;
      box.textContent = error instanceof RestError ? error.message : "No connection: try again.";
      this.#part("why").hidden = error instanceof RestError && error.code === "cannot_say";
    }
  }

  async #explain() {
    const explanation = this.#explanation.value.trim();
    if (!explanation && this.#owes) this.#saved("Say this before you go on.");
    if (!this.#exampleId || !explanation) return;
    this.#saved("Saving…");
    try {
      await this.#rest.post(`examples/${this.#exampleId}/explain/`, { explanation });
      this.#owes = false;
      this.#saved("Saved, thank you.");
    } catch (error) {
      this.#saved(error instanceof RestError ? error.message : "Not saved: no connection. Try again.");
    }
  }

  /** @param {string} words */
  #saved(words) {
    this.#part("saved").textContent = words;
  }

  get #explanation() {
    return /** @type {HTMLTextAreaElement} */ (this.#part("explanation"));
  }

  /**
   * @param {string} name
   * @returns {HTMLElement}
   */
  #part(name) {
    const part = this.#panel.querySelector(`[data-verdict="${name}"]`);
    if (!(part instanceof HTMLElement)) throw new Error(`The verdict has no part ${name}.`);
    return part;
  }
}
