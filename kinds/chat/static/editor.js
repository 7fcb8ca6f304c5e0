/** The annotator's chat: what was said, and a field to say more. */
import { part } from "../../js/page_parts.js";
import { passage, written } from "../text/passage.js";
import { message } from "./messages.js";
import { Talk } from "./talk.js";

/** As static/js/editor.js describes it. What is submitted is the chat that the server holds. */
export class Editor extends EventTarget {
  #talk;
  #section = part("talk-section", HTMLElement);
  #said = part("said", HTMLElement);
  #turns = part("turns", HTMLOListElement);
  #words = part("talk-words", HTMLElement);
  #form = part("talk", HTMLFormElement);
  #field = part("text", HTMLTextAreaElement);
  #send = part("send", HTMLButtonElement);
  #fresh = part("new-chat", HTMLButtonElement);
  /** The task's rule's outcome that was chosen last. @type {string | null} */
  #outcome = null;
  #shown = 0;

  /** @param {ConstructorParameters<typeof Talk>[0]} page */
  constructor(page) {
    super();
    this.#talk = new Talk(page);
    this.#talk.addEventListener("change", () => this.#show());
    this.#talk.addEventListener("answered", (event) => {
      if (!(event instanceof CustomEvent)) return;
      this.#tell("say", `The model says: ${event.detail}`);
      this.dispatchEvent(new Event("rest"));
    });
    this.#talk.addEventListener("unsaid", (event) => {
      if (event instanceof CustomEvent && this.#field.value === "") this.#field.value = event.detail;
      this.dispatchEvent(new Event("rest")); // what is kept has it on its way still
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.#field.addEventListener("input", () => this.dispatchEvent(new Event("rest")));
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      if (event.ctrlKey || event.metaKey) return; // which submits
      event.preventDefault();
      this.#say();
    });
    this.#fresh.addEventListener("click", () => {
      this.reset();
      this.focus();
      this.dispatchEvent(new Event("rest"));
    });
    this.#show();
  }

  get isEmpty() {
    const { turns, asking, comingBack } = this.#talk;
    return turns.length === 0 && !asking && !comingBack && this.#field.value.trim() === "";
  }

  /** Why it cannot be submitted yet. */
  get missing() {
    if (this.#talk.comingBack) return "Your chat is not back yet: wait for it.";
    if (this.#talk.asking) return "The model is answering: wait for it.";
    return this.#talk.turns.length === 0 ? "Say something to the model first." : "";
  }

  /** By the task's rule, where it has one. */
  get outcome() {
    return this.#talk.outcome;
  }

  /** @param {boolean} inert */
  set inert(inert) {
    this.#section.inert = inert;
  }

  toInput() {
    return { chat: this.#talk.id, turns: this.#talk.turns.length };
  }

  /** It was not taken. @param {string} code */
  refused(code) {
    if (code === "chat_went_on" || code === "chat_submitted") this.#talk.lookAgain();
  }

  /** @param {unknown} data */
  about(data) {
    const shown = part("passage", HTMLElement);
    shown.replaceChildren(...passage(data));
    shown.hidden = !data;
  }

  snapshot() {
    const { id, asking } = this.#talk.comingBack ?? this.#talk;
    return { chat: id, asking, text: this.#field.value };
  }

  /** @param {{ chat: string | null, asking: import("./talk.js").Asking | null, text: string }} snapshot */
  async load({ chat, asking, text }) {
    this.#field.value = text;
    if (chat) await this.#talk.take(chat, asking);
    else this.#talk.leave();
  }

  reset() {
    this.#field.value = "";
    this.#talk.leave();
  }

  /** What it held is an example by now. */
  submitted() {
    this.#talk.isOpen = this.#talk.isSubmittable = false;
    this.#show();
  }

  focus() {
    const at = this.#form.hidden ? this.#fresh : this.#field;
    at.focus({ preventScroll: true });
  }

  preview() {
    return written(this.#talk.turns.at(-1)?.content ?? "");
  }

  #say() {
    const content = this.#field.value;
    if (content.trim() === "" || this.#talk.asking || this.#talk.comingBack) return;
    this.#field.value = "";
    this.#talk.say(content);
    this.dispatchEvent(new Event("rest"));
  }

  #show() {
    const { turns, asking, comingBack, heard, trouble, isOpen, isSubmittable, turnsLeft } = this.#talk;
    const atEnd = this.#said.scrollHeight - this.#said.scrollTop - this.#said.clientHeight < 40;
    while (this.#turns.children.length > 2 * Math.min(this.#shown, turns.length)) this.#turns.lastChild?.remove();
    for (const { said, content, cut } of turns.slice(this.#turns.children.length / 2)) {
      this.#turns.append(message("user", said, { person: "You" }), message("assistant", content, { cut }));
    }
    this.#shown = turns.length;
    if (asking) {
      const answer = message("assistant", heard);
      answer.setAttribute("aria-busy", "true");
      this.#turns.append(message("user", asking.content, { person: "You" }), answer);
    }
    if (atEnd) this.#said.scrollTop = this.#said.scrollHeight;
    const none = turns.length === 0 && !asking && !comingBack;
    const further = isSubmittable
      ? "This chat goes no further; you can still submit it."
      : "This chat goes no further.";
    const left = [
      "No turn is left: say what came of it, or begin a new chat.",
      "1 turn left.",
      "2 turns left.",
    ];
    this.#words.textContent =
      trouble ||
      (isOpen ? "" : further) ||
      (none ? "Say something, and the model answers." : "") ||
      (left[turnsLeft ?? left.length] ?? "");
    this.#form.hidden = !isOpen;
    this.#fresh.hidden = isOpen && none;
    this.#send.disabled = asking !== null || comingBack !== null;
    if (this.#outcome !== this.#talk.outcome) {
      this.#outcome = this.#talk.outcome;
      this.#tell("outcome", this.#outcome);
    }
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
