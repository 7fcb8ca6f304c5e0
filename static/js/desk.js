import { showChoices } from "./choices.js";
import {
  emptyInWords,
  feedbackInWords,
  labelInWords,
  scoreInWords,
  trainingInWords,
} from "./judging_words.js";
import { part } from "./page_parts.js";

/** @typedef {import("./choices.js").Held} Held */
/** @typedef {import("./judging_words.js").Answer} Answer */
/** @typedef {import("./judging_words.js").Progress} Progress */

/**
 * What the viewer of a kind may bring, whose answers are neither labels nor typed.
 *
 * @typedef {object} Answering
 * @property {() => any} [answer] the label to be sent, null while there is none
 * @property {(field: HTMLInputElement) => void} [answersIn] where to show it in words
 * @property {(label: any) => void} [mark] shows one that was given
 */

/** What a validator sees: the item, the answers, and what is said about them. */
export class Desk {
  #frame = part("input", HTMLElement);
  #desk = part("desk", HTMLElement);
  #judged = part("judged", HTMLElement);
  #answers = part("answers", HTMLElement);
  #choices = part("choices", HTMLElement);
  #written = part("written", HTMLFormElement);
  #flagForm = part("flag-form", HTMLFormElement);
  #lost = part("lost", HTMLElement);
  #empty = part("empty", HTMLElement);
  #resting = part("resting", HTMLElement);
  #training = part("training", HTMLElement);
  #said = part("said", HTMLElement);
  #none;
  #viewer;
  #undoable = true;
  /** @type {Held | null} */
  #item = null;

  /**
   * @param {{ none: import("./choices.js").Choice | null, viewer: typeof import("./texts.js") & Answering }} options
   *   `none` stands for no label, where an answer may be several; `viewer` shows the inputs of one kind
   */
  constructor({ none, viewer }) {
    this.#none = none;
    this.#viewer = viewer;
    const field = this.#written.elements.namedItem("answer");
    if (field instanceof HTMLInputElement) viewer.answersIn?.(field);
  }

  /** @param {Held} item to be shown next */
  prepare(item) {
    this.#viewer.prepare(item);
  }

  /**
   * @param {Held} item
   * @param {{ answer: Answer | null, open: boolean }} how
   */
  show(item, { answer, open }) {
    if (this.#item?.example !== item.example) {
      this.#viewer.show(this.#frame, item);
      this.#offer(item);
      this.#desk.classList.remove("judging__desk--new");
      void this.#desk.offsetWidth; // restarts the animation
      this.#desk.classList.add("judging__desk--new");
    }
    const back = !this.#empty.hidden;
    this.#item = item;
    this.#lost.hidden = this.#empty.hidden = this.#resting.hidden = true;
    this.#judged.hidden = this.#answers.hidden = false;
    this.#desk.removeAttribute("aria-busy");
    this.#judged.classList.remove("judged--lost");
    this.#answers.inert = false;
    this.#answers.setAttribute("aria-busy", String(!open));
    this.mark(answer);
    if (back) this.say("Here is another one.");
  }

  /** @param {Held} item whose answers are put up */
  #offer({ choices }) {
    const keys = showChoices(this.#choices, this.#none ? [...choices, this.#none] : choices);
    part("first-key", HTMLElement).textContent = keys[0] ?? "";
    part("last-key", HTMLElement).textContent = keys.at(-1) ?? "";
    part("label-keys", HTMLElement).hidden = keys.length === 0;
    this.#written.hidden = !this.#none && choices.length > 0;
    this.#written.reset();
    this.#flagForm.reset();
  }

  /** @param {Answer | null} answer marked as the one that was chosen */
  mark(answer) {
    for (const button of document.querySelectorAll(".verdict-desk button[type=button]")) {
      if (!(button instanceof HTMLElement)) continue;
      const chosen = answer !== null && isFor(answer, button);
      button.classList.toggle("is-chosen", chosen);
      button.classList.remove("is-known");
      button.setAttribute("aria-pressed", String(chosen));
    }
    const field = this.#written.elements.namedItem("answer");
    if (field instanceof HTMLInputElement && answer && "label" in answer && !field.value) {
      field.value = labelInWords(answer.label, []);
      this.#viewer.mark?.(answer.label);
    }
  }

  /** What is answered where answers are no labels: shown by the viewer, or else typed. */
  get answer() {
    if (this.#viewer.answer) return this.#viewer.answer();
    return String(new FormData(this.#written).get("answer") ?? "").trim();
  }

  /** Marks one of several labels, or takes the mark away. @param {string} label */
  tick(label) {
    const ticked = this.ticked;
    const others = (ticked ?? []).filter((one) => one !== label);
    if (ticked && isIn(ticked, label)) this.mark(others.length > 0 ? { label: others } : null);
    else this.mark({ label: label === "" ? [] : [...others, label] });
  }

  /** @returns {string[] | null} the labels that are marked, in the task's order; null before any is */
  get ticked() {
    const marked = [...this.#choices.querySelectorAll(".is-chosen")];
    const values = marked.map((button) => /** @type {HTMLElement} */ (button).dataset.label ?? "");
    return values.length > 0 ? values.filter(Boolean) : null;
  }

  /** @param {string} sentence */
  say(sentence) {
    this.#said.textContent = sentence;
  }

  /** @param {string} sentence why the item on the screen is no longer ours to answer */
  lose(sentence) {
    this.#judged.classList.add("judged--lost");
    this.#answers.inert = true;
    this.say("");
    part("lost-words", HTMLElement).textContent = sentence;
    this.#lost.hidden = false;
    part("lost-next", HTMLButtonElement).focus();
  }

  /** @param {Progress} progress of somebody for whom nothing waits */
  showEmpty(progress) {
    const { title, words } = emptyInWords(progress);
    this.#stop(title, words, progress.skipped > 0);
  }

  /** @param {string} sentence why this person is not asked */
  showShut(sentence) {
    this.#stop("You are not asked for now", sentence, false);
    part("looks-again", HTMLElement).hidden = true;
  }

  showResting() {
    this.clear();
    this.#resting.hidden = false;
    part("rest-over", HTMLButtonElement).focus();
  }

  /** Take the item away; what is said instead comes with `showEmpty` and its like. */
  clear() {
    this.#item = null;
    this.#frame.replaceChildren(); // what is left may upset, or be somebody else's by now
    this.#judged.hidden = this.#answers.hidden = this.#lost.hidden = true;
    this.#desk.removeAttribute("aria-busy");
  }

  /**
   * @param {string} title
   * @param {string} words
   * @param {boolean} skipped whether there is something to look at again
   */
  #stop(title, words, skipped) {
    this.clear();
    part("empty-title", HTMLElement).textContent = title;
    part("empty-words", HTMLElement).textContent = words;
    part("look-again", HTMLFormElement).hidden = !skipped;
    if (!this.#empty.hidden) return;
    this.#empty.hidden = false;
    if (document.activeElement === document.body) part("empty-title", HTMLElement).focus();
  }

  // --- how far one is -----------------------------------------------------------------------------
  /** @param {Progress & { score?: import("./judging_words.js").Score | null }} progress */
  showProgress(progress) {
    this.#count("today", progress.today);
    this.#count("waiting", progress.waiting);
    this.#count("skipped", progress.skipped);
    this.offerUndo(progress.votes > 0);
    if (progress.score) part("score", HTMLElement).textContent = scoreInWords(progress.score);
  }

  /** @param {boolean} answered whether there is an answer to take back */
  offerUndo(answered) {
    part("undo", HTMLButtonElement).hidden = !answered || !this.#undoable;
  }

  /** @param {number} answers given since the page was opened */
  showVisit(answers) {
    this.#count("visit", answers);
  }

  /**
   * @param {string} name
   * @param {number | string} count
   */
  #count(name, count) {
    const place = document.querySelector(`[data-progress="${name}"]`);
    if (place) place.textContent = count.toLocaleString("en");
  }

  /** @param {import("./judging_words.js").Qualification | null} qualification null: it is over */
  showTraining(qualification) {
    this.#training.hidden = qualification === null;
    this.#undoable = qualification === null;
    if (!qualification) return;
    this.offerUndo(false);
    part("training-count", HTMLElement).textContent = trainingInWords(qualification);
    const bar = part("training-bar", HTMLProgressElement);
    bar.max = qualification.items;
    bar.value = qualification.seen;
  }

  /**
   * @param {any} feedback
   * @param {Held} item that it is about
   * @param {Answer} answer that was given
   * @param {boolean} reading whether the item stays on the screen for it
   */
  showFeedback(feedback, item, answer, reading) {
    const { title, words } = feedbackInWords(feedback, item.choices);
    this.showTraining(feedback.qualification);
    part("feedback-title", HTMLElement).textContent = title;
    part("feedback-words", HTMLElement).textContent = words;
    this.#training.dataset.state = feedback.right ? "right" : "wrong";
    part("read-on", HTMLButtonElement).hidden = !reading;
    if (!reading) return;
    this.mark(answer);
    for (const button of this.#choices.querySelectorAll("[data-label]")) {
      const label = button instanceof HTMLElement ? (button.dataset.label ?? "") : "";
      button.classList.toggle("is-known", isIn(feedback.answer, label));
    }
    this.#answers.inert = true;
    part("read-on", HTMLButtonElement).focus();
  }

  readOn() {
    part("read-on", HTMLButtonElement).hidden = true;
    this.#answers.inert = false;
  }
}

/**
 * @param {Answer} answer
 * @param {HTMLElement} button
 */
function isFor(answer, button) {
  if ("skip" in answer) return button.dataset.part === "skip";
  if ("flag" in answer) return button.dataset.part === (answer.flag === "unsure" ? "unsure" : "flag");
  return button.dataset.label !== undefined && isIn(answer.label, button.dataset.label);
}

/**
 * @param {string | string[]} answer
 * @param {string} label empty for none of them
 */
function isIn(answer, label) {
  const values = [answer].flat();
  return values.length > 0 ? values.includes(label) : label === "";
}
