/**
 * What a validator judges, drawn into a page: pictures and texts alike.
 *
 * @typedef {object} Choice
 * @property {string} value
 * @property {string} name
 * @property {string | null} key
 *
 * @typedef {object} Item what the server leases
 * @property {string} lease
 * @property {string} example
 * @property {any} input
 * @property {any} context
 * @property {Choice[]} choices
 * @property {string} expires_at
 *
 * @typedef {Item & { until: number }} Held an item under a lease of ours; `until` is when that ends,
 *   by this device's clock
 */

/** Texts in the order in which one reads them; what else an input holds comes after. */
const READING_ORDER = ["title", "context", "premise", "passage", "text", "hypothesis", "question"];

/** An answer inside an input is the author's own, which a validator must not see. */
const HIDDEN = new Set(["answer"]);

/** Pictures that are ready to be shown. @type {WeakMap<object, HTMLImageElement>} */
const ready = new WeakMap();

/** @param {Pick<Item, "input">} item to be shown next: its picture is decoded now, and not then */
export function prepareInput(item) {
  if (typeof item.input?.png !== "string") return;
  const picture = pictureOf(item.input.png);
  ready.set(item, picture);
  void picture.decode().catch(() => {});
}

/** @param {string} png */
function pictureOf(png) {
  const picture = document.createElement("img");
  picture.className = "drawing";
  picture.decoding = "sync";
  picture.src = `data:image/png;base64,${png}`;
  picture.alt = "The drawing to judge";
  return picture;
}

/**
 * @param {HTMLElement} frame
 * @param {Pick<Item, "input" | "context">} item
 */
export function showInput(frame, item) {
  const { input, context } = item;
  const png = input?.png;
  frame.classList.toggle("judged__frame--texts", typeof png !== "string");
  if (typeof png === "string") {
    frame.replaceChildren(...texts(context, "context"), ready.get(item) ?? pictureOf(png));
  } else {
    frame.replaceChildren(...texts(context, "context"), ...texts(input, "text"));
  }
}

/**
 * @param {unknown} value a text, or an object of texts
 * @param {string} name of a text that stands alone
 * @returns {HTMLElement[]}
 */
function texts(value, name) {
  if (typeof value === "string") return [block(name, value)];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value)
    .filter(([key, text]) => typeof text === "string" && !HIDDEN.has(key))
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
  const words = document.createElement("p");
  words.textContent = text;
  words.dir = "auto";
  section.append(title, words);
  return section;
}

/**
 * One button for each answer. Labels without a key get the digits 1 to 9 by their place.
 *
 * @param {HTMLElement} group
 * @param {Choice[]} choices
 * @returns {string[]} their keys, in order
 */
export function showChoices(group, choices) {
  const taken = new Set(choices.map(({ key }) => key));
  const keys = choices.map(({ key }, index) => {
    const digit = String(index + 1);
    return key ?? (index < 9 && !taken.has(digit) ? digit : "");
  });
  group.classList.toggle("choices--words", choices.some(({ name }) => name.length > 2));
  group.replaceChildren(
    ...choices.map(({ value, name }, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "choice";
      button.dataset.label = value;
      const words = document.createElement("span");
      words.textContent = name;
      button.append(words);
      if (keys[index]) {
        button.dataset.key = keys[index].toLowerCase();
        button.setAttribute("aria-keyshortcuts", keys[index]);
      }
      if (keys[index] && keys[index] !== name) {
        const key = document.createElement("kbd");
        key.textContent = keys[index];
        button.append(key);
      }
      return button;
    }),
  );
  return keys.filter(Boolean);
}
