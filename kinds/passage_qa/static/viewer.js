/** Shows a validator the question, and the passage in which they mark the answer. */
import { boxed, written } from "../text/passage.js";
import { Marking } from "./marking.js";

export { prepare } from "../../js/texts.js";

const marking = new Marking();

/**
 * @param {HTMLElement} frame
 * @param {import("../../js/choices.js").Item} item
 */
export function show(frame, { input, context }) {
  const box = boxed({ title: context?.title, context: input.context });
  frame.replaceChildren(written(input.question), box);
  marking.markIn(box.querySelector("p"));
}

/** What is marked, to be sent. */
export function answer() {
  return marking.chosen;
}

/**
 * Let the page show what is marked, and mark what was answered before.
 *
 * @param {HTMLInputElement} field where answers are typed elsewhere
 */
export function answersIn(field) {
  field.readOnly = true;
  field.placeholder = marking.missing;
  marking.addEventListener("choose", () => {
    field.value = marking.chosen?.text ?? "";
  });
}

/** @param {unknown} label of an answer that was taken back */
export function mark(label) {
  marking.choose(label);
}
