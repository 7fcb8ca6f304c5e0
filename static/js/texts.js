/** Shows inputs that are made of texts to a validator, each under its name. */

/** @typedef {import("./choices.js").Item} Item */

/** The order in which one reads them; what else an input holds comes after. */
const READING_ORDER = ["title", "context", "premise", "passage", "text", "hypothesis", "question"];

/** Texts need no time to get ready. */
export function prepare() {}

/**
 * @param {HTMLElement} frame
 * @param {Item} item
 */
export function show(frame, { input, context }) {
  frame.replaceChildren(...texts(context, "context"), ...texts(input, "text"));
}

/**
 * @param {unknown} value a text, or an object of texts
 * @param {string} name of a text that stands alone
 * @returns {HTMLElement[]}
 */
export function texts(value, name) {
  if (typeof value === "string") return [block(name, value)];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value)
    .filter(([, text]) => typeof text === "string")
    .sort(([a], [b]) => place(a) - place(b))
    .map(([key, text]) => block(key, text));
}

/** @param {string} key */
function place(key) {
  const index = READING_ORDER.indexOf(key);
  return index < 0 ? READING_ORDER.length : index;
}

/**
 * @param {string} name
 * @param {string} text
 */
function block(name, text) {
  const section = document.createElement("section");
  section.className = "judged__text";
  const title = document.createElement("h2");
  title.textContent = name.replaceAll("_", " ");
  section.append(title, paragraph(text));
  return section;
}

/** @param {string} text in whichever direction it is written */
export function paragraph(text) {
  const words = document.createElement("p");
  words.textContent = text;
  words.dir = "auto";
  return words;
}
