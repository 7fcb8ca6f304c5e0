/** Shows a text to a validator, as it was written, below its context if it has one. */
import { boxed, written } from "./passage.js";

export { prepare } from "../../js/texts.js";

/**
 * @param {HTMLElement} frame
 * @param {import("../../js/choices.js").Item} item
 */
export function show(frame, { input, context }) {
  frame.replaceChildren(...(context ? [boxed(context)] : []), written(input.text));
}
