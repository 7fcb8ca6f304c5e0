import { part } from "./page_parts.js";

/**
 * Waits until somebody has read what the task warns of and wants to begin; asked once on a device, and
 * again when the words change.
 *
 * @param {string} warning
 * @param {import("./storage.js").Shelf} shelf
 * @returns {Promise<boolean>} whether they were asked
 */
export async function accepted(warning, shelf) {
  const asked = shelf.get("accepted") !== warning;
  if (asked) {
    await new Promise((begun) => part("begin", HTMLButtonElement).addEventListener("click", begun));
    shelf.set("accepted", warning);
  }
  part("before", HTMLElement).hidden = true;
  part("warning", HTMLElement).hidden = part("workbench", HTMLElement).hidden = false;
  return asked;
}
