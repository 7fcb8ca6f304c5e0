/**
 * What a validator is asked, and the buttons that answer it.
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

/**
 * One button for each answer.
 *
 * @param {HTMLElement} group
 * @param {Choice[]} choices
 * @returns {string[]} their keys, in order
 */
export function showChoices(group, choices) {
  const keys = choices.map(({ key }) => key ?? "");
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
