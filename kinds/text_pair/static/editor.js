/** The annotator's editor of hypotheses: the text that is given, and a field to write into. */
import { Editor as TextEditor } from "../text/editor.js";

export class Editor extends TextEditor {
  field = "hypothesis";
}
