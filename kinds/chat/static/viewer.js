/** Shows a chat to a validator, below what it was to be about. */
import { boxed } from "../text/passage.js";
import { message } from "./messages.js";

export { prepare } from "../../js/texts.js";

/**
 * @param {HTMLElement} frame
 * @param {import("../../js/choices.js").Item} item
 */
export function show(frame, { input, context }) {
  const turns = document.createElement("ol");
  turns.className = "talk__turns";
  turns.append(...(input.turns ?? []).map(({ role, content, cut }) => message(role, content, { cut })));
  frame.replaceChildren(...(context ? [boxed(context)] : []), turns);
}
