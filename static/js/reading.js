import { createBars, shareOf } from "./bars.js";

const ANNOUNCE_AFTER_MS = 900;

/** What the model reads: its answer, how sure it is and the bars; spoken when it comes to rest. */
export class Reading {
  #panel;
  #answer;
  #share;
  #bars;
  #labels;
  #announce;
  #timer = 0;

  /**
   * @param {object} parts
   * @param {HTMLElement} parts.panel marked busy while what it shows is of an older input
   * @param {HTMLElement} parts.answer
   * @param {HTMLElement} parts.share
   * @param {HTMLElement} parts.bars
   * @param {{ value: string, name: string }[]} rows
   * @param {import("./labels.js").Labels} labels
   * @param {(words: string) => void} announce says it to screen readers
   */
  constructor({ panel, answer, share, bars }, rows, labels, announce) {
    this.#panel = panel;
    this.#answer = answer;
    this.#share = share;
    this.#bars = createBars(bars, rows);
    this.#labels = labels;
    this.#announce = announce;
    labels.addEventListener("choose", () => this.#bars.choose(labels.chosen));
    this.clear();
  }

  /** The input has changed: what is shown is of the one before. */
  expect() {
    this.#panel.setAttribute("aria-busy", "true");
  }

  /**
   * @param {{ prediction: string | string[], probabilities: Record<string, number> | null }} answer
   * @param {boolean} upToDate whether it is about the input as it is now
   */
  show({ prediction, probabilities }, upToDate) {
    const name = this.#labels.nameOf(prediction);
    const share = shareOf(prediction, probabilities);
    if (probabilities) this.#bars.show(probabilities, prediction);
    else this.#bars.clear();
    this.#answer.textContent = name;
    this.#share.textContent = share;
    this.#panel.setAttribute("aria-busy", String(!upToDate));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#announce(`The model reads ${name}${share && ` at ${share}`}`),
      ANNOUNCE_AFTER_MS,
    );
  }

  /** @param {string} [words] why nothing can be read */
  clear(words = "") {
    clearTimeout(this.#timer);
    this.#bars.clear();
    this.#answer.textContent = "–";
    this.#share.textContent = words;
    this.#panel.setAttribute("aria-busy", "false");
  }
}
