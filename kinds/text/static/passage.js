/** What a text is written about, as all its readers see it. */
import { paragraph } from "../../js/texts.js";

/**
 * @param {any} data what a context says: its text as `context`, perhaps with a title
 * @returns {HTMLElement[]}
 */
export function passage(data) {
  const { context, title } = typeof data === "string" ? { context: data } : (data ?? {});
  const parts = [];
  if (typeof title === "string") {
    const heading = document.createElement("h2");
    heading.textContent = title;
    heading.dir = "auto";
    parts.push(heading);
  }
  if (typeof context === "string") parts.push(paragraph(context));
  return parts;
}

/** The same in a box of its own, for validators. @param {any} data */
export function boxed(data) {
  const box = document.createElement("div");
  box.className = "passage";
  box.append(...passage(data));
  return box;
}

/** What somebody wrote about it, as it was written. @param {string} text */
export function written(text) {
  const words = paragraph(text);
  words.className = "written";
  return words;
}
