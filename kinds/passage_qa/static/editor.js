/** The annotator's editor of questions: the passage, a field to ask in, and the answer that is marked. */
import { part } from "../../js/page_parts.js";
import { Editor as TextEditor } from "../text/editor.js";
import { Marking } from "./marking.js";

/** As static/js/editor.js describes it; answers are no labels here, they are marked. */
export class Editor extends TextEditor {
  field = "question";

  answers = new Marking();

  constructor() {
    super();
    const marked = part("marked", HTMLElement);
    this.answers.addEventListener("choose", () => {
      marked.textContent = this.answers.chosen?.text ?? "nothing yet";
    });
    this.addEventListener("change", () => this.answers.read(null));
  }

  /** @param {unknown} data */
  about(data) {
    super.about(data);
    this.answers.markIn(part("passage", HTMLElement).querySelector("p"));
  }

  /** @param {unknown} prediction */
  read(prediction) {
    this.answers.read(prediction);
  }
}
