/**
 * The element that a template marks with `data-part`.
 *
 * @template {HTMLElement} T
 * @param {string} name
 * @param {new () => T} type
 * @returns {T}
 */
export function part(name, type) {
  const element = document.querySelector(`[data-part="${name}"]`);
  if (!(element instanceof type)) throw new Error(`The page has no ${name}.`);
  return element;
}
