/** Shows a text to a validator, as it was written, below its context if it has one. */
import { texts } from "../../js/texts.js";
import { written } from "./passage.js";

export { prepare } from "../../js/texts.js";

/**
 * @param {HTMLElement} frame
 * @param {import("../../js/choices.js").Item} item
 */
export function show(frame, { input, context }) {
  frame.replaceChildren(...texts(context, "context"), written(input.text));
}
