/** The annotator's editor of drawings: a canvas and its tools, or a picture that is uploaded or pasted. */
import { part } from "../../js/page_parts.js";
import { DrawingSurface } from "./canvas.js";

/** As static/js/editor.js describes it. */
export class Editor extends DrawingSurface {
  #canvas;
  #tools = part("tools", HTMLElement);
  #hint = part("hint", HTMLElement);
  #undo = part("undo", HTMLButtonElement);
  #redo = part("redo", HTMLButtonElement);
  #clear = part("clear", HTMLButtonElement);
  #inert = false;

  /** @param {{ shelf: import("../../js/storage.js").Shelf }} options keeps the brush */
  constructor({ shelf }) {
    const canvas = part("canvas", HTMLCanvasElement);
    super(canvas, part("pen", HTMLElement));
    this.#canvas = canvas;
    this.addEventListener("change", () => (this.#hint.hidden = !this.isEmpty));
    this.addEventListener("rest", () => {
      this.#undo.disabled = !this.canUndo;
      this.#redo.disabled = !this.canRedo;
      this.#clear.disabled = this.isEmpty;
    });
    this.#undo.addEventListener("click", () => this.undo());
    this.#redo.addEventListener("click", () => this.redo());
    this.#clear.addEventListener("click", () => this.clear());
    document.addEventListener("themechange", () => this.repaint());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    this.#offerBrush(shelf);
    this.#takePictures();
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Whether it can be used: not while a verdict lies over it. @param {boolean} inert */
  set inert(inert) {
    this.#inert = this.#tools.inert = inert;
  }

  focus() {
    this.#canvas.focus({ preventScroll: true });
  }

  preview() {
    const picture = new Image(112, 112);
    picture.className = "picture";
    picture.alt = "Your drawing";
    picture.src = this.toDataUrl();
    return picture;
  }

  /** @param {import("../../js/storage.js").Shelf} shelf */
  #offerBrush(shelf) {
    const brush = part("brush", HTMLInputElement);
    const choose = () => {
      this.brush = brush.valueAsNumber / 100;
      shelf.set("brush", brush.valueAsNumber);
    };
    brush.valueAsNumber = shelf.get("brush") ?? brush.valueAsNumber;
    brush.addEventListener("input", choose);
    choose();
  }

  #takePictures() {
    const upload = part("upload", HTMLInputElement);
    upload.addEventListener("change", async () => {
      await this.#take(upload.files);
      upload.value = ""; // so that the same file can be chosen again
    });
    document.addEventListener("paste", (event) => void this.#take(event.clipboardData?.files));
    this.#canvas.addEventListener("dragover", (event) => event.preventDefault());
    this.#canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      void this.#take(event.dataTransfer?.files);
    });
  }

  /** @param {Iterable<File> | null | undefined} files */
  async #take(files) {
    const [file] = files ?? [];
    if (!file || this.#inert) return;
    try {
      await this.addPicture(file);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.dispatchEvent(new CustomEvent("complain", { detail }));
    }
  }

  /** @param {KeyboardEvent} event anywhere on the page */
  #key(event) {
    if (this.#inert || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      if (key === "y" || event.shiftKey) this.redo();
      else this.undo();
    } else if (key === "enter" && event.target === this.#canvas && !event.altKey) {
      event.preventDefault();
      this.dispatchEvent(new Event("submit"));
    }
  }
}
