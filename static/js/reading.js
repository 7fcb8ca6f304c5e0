import { createBars, shareOf } from "./bars.js";

const ANNOUNCE_AFTER_MS = 900;

/**
 * @typedef {object} Told what a model answered
 * @property {string | string[]} prediction
 * @property {Record<string, number> | null} probabilities
 * @property {{ model: string, prediction: string | string[] }[]} [targets] what each said, where
 *   several must be fooled
 */

/**
 * @param {NonNullable<Told["targets"]>} targets
 * @param {(answer: string | string[]) => string} nameOf
 * @param {string} reads
 */
export function eachOf(targets, nameOf, reads) {
  return targets.map(({ model, prediction }) => `${model} ${reads} ${nameOf(prediction)}`).join(", ");
}

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
   * @param {Told} answer
   * @param {boolean} upToDate whether it is about the input as it is now
   */
  show({ prediction, probabilities, targets }, upToDate) {
    const name = this.#labels.nameOf(prediction);
    const share = targets
      ? eachOf(targets, (answer) => this.#labels.nameOf(answer), "reads")
      : shareOf(prediction, probabilities);
    if (probabilities) this.#bars.show(probabilities, prediction);
    else this.#bars.clear();
    this.#answer.textContent = name;
    this.#share.textContent = share;
    this.#panel.setAttribute("aria-busy", String(!upToDate));
    clearTimeout(this.#timer);
    const sentence = targets ? share : `The model reads ${name}${share && ` at ${share}`}`;
    this.#timer = setTimeout(() => this.#announce(sentence), ANNOUNCE_AFTER_MS);
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
