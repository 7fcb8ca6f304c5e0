/** Shows a text to a validator, as it was written, below its context if it has one. */
import { paragraph, texts } from "../../js/texts.js";

export { prepare } from "../../js/texts.js";

/**
 * @param {HTMLElement} frame
 * @param {import("../../js/choices.js").Item} item
 */
export function show(frame, { input, context }) {
  const words = paragraph(input.text);
  words.className = "written";
  frame.replaceChildren(...texts(context, "context"), words);
}
