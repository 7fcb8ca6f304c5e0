/** @typedef {string | string[]} Answer a label, or those of a set */

/**
 * One bar for each label, in the labels' order so that none changes its place meanwhile.
 *
 * @param {HTMLElement} element an empty element with class "bars"
 * @param {{ value: string, name: string }[]} labels
 */
export function createBars(element, labels) {
  /** @type {Map<string, { row: HTMLElement, text: HTMLElement }>} */
  const rows = new Map();
  /** @type {{ probabilities: Record<string, number>, top: string[] } | null} */
  let pending = null;

  element.replaceChildren(
    ...labels.map(({ value, name }) => {
      const row = document.createElement("div");
      row.className = "bars__row";
      const key = part("bars__key", name);
      const track = part("bars__track");
      track.append(part("bars__fill"));
      const text = part("bars__value", "");
      row.append(key, track, text);
      rows.set(value, { row, text });
      return row;
    }),
  );

  function paint() {
    if (!pending) return;
    const { probabilities, top } = pending;
    pending = null;
    for (const [value, { row, text }] of rows) {
      const p = probabilities[value] ?? 0;
      row.style.setProperty("--p", String(p));
      row.classList.toggle("bars__row--top", top.includes(value));
      text.textContent = percent(p);
    }
  }

  return {
    /**
     * Shown with the next frame; the newest wins.
     *
     * @param {Record<string, number>} probabilities
     * @param {Answer} prediction whose bars stand out
     */
    show(probabilities, prediction) {
      if (!pending) requestAnimationFrame(paint);
      pending = { probabilities, top: [prediction].flat() };
    },
    /** @param {Answer | null} answer the author's choice */
    choose(answer) {
      for (const [value, { row }] of rows) {
        row.classList.toggle("bars__row--chosen", [answer].flat().includes(value));
      }
    },
    clear() {
      pending = null;
      for (const { row, text } of rows.values()) {
        row.style.setProperty("--p", "0");
        row.classList.remove("bars__row--top");
        text.textContent = "";
      }
    },
  };
}

/**
 * @param {Answer} prediction
 * @param {Record<string, number> | null} probabilities
 * @returns {string} how sure the model is of it; empty where it does not say, or of each label apart
 */
export function shareOf(prediction, probabilities) {
  const share = Array.isArray(prediction) ? undefined : probabilities?.[prediction];
  return share === undefined ? "" : percent(share);
}

/**
 * Whole percents, but never 0 % for what is possible nor 100 % for what is not certain.
 *
 * @param {number} p
 * @returns {string}
 */
export function percent(p) {
  if (p > 0.99 && p < 1) return ">99\u202f%";
  if (p > 0 && p < 0.01) return "<1\u202f%";
  return `${Math.round(p * 100)}\u202f%`;
}

/**
 * @param {string} className
 * @param {string} [text]
 */
function part(className, text) {
  const span = document.createElement("span");
  span.className = className;
  if (text !== undefined) span.textContent = text;
  return span;
}
