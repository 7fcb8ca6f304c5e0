/** Shows a validator the hypothesis below what it was written to. */
import { boxed, written } from "../text/passage.js";

export { prepare } from "../../js/texts.js";

/**
 * @param {HTMLElement} frame
 * @param {import("../../js/choices.js").Item} item
 */
export function show(frame, { input, context }) {
  // A log's context may be anything: what was judged is the input's own.
  frame.replaceChildren(boxed({ title: context?.title, context: input.context }), written(input.hypothesis));
}
