/** The annotator's editor of photographs: a file that is chosen, taken with a phone, dropped or pasted. */
import { part } from "../../js/page_parts.js";

const SIDE = 512; // the server keeps no more
const QUALITY = 0.92;
const UNREADABLE = "This cannot be read here: choose a JPEG, PNG or WebP.";

/** As static/js/editor.js describes it. What is sent was encoded anew here: no camera's notes go along. */
export class Editor extends EventTarget {
  #frame = part("photo", HTMLElement);
  #upload = part("upload", HTMLInputElement);
  #shown = part("shown", HTMLImageElement);
  #hint = part("hint", HTMLElement);
  #tools = part("tools", HTMLElement);
  #turn = part("turn", HTMLButtonElement);
  #clear = part("clear", HTMLButtonElement);
  #inert = false;
  /** A JPEG as a data URL; empty when there is none. */
  #url = "";

  constructor() {
    super();
    this.#upload.addEventListener("change", async () => {
      await this.#take(this.#upload.files);
      this.#upload.value = ""; // so that the same file can be chosen again
    });
    document.addEventListener("paste", (event) => void this.#take(event.clipboardData?.files));
    this.#frame.addEventListener("dragover", (event) => event.preventDefault());
    this.#frame.addEventListener("drop", (event) => {
      event.preventDefault();
      void this.#take(event.dataTransfer?.files);
    });
    this.#turn.addEventListener("click", () => void this.#turned());
    this.#clear.addEventListener("click", () => {
      this.reset();
      this.focus();
    });
  }

  get isEmpty() {
    return this.#url === "";
  }

  /** Whether it can be used: not while a verdict lies over it. @param {boolean} inert */
  set inert(inert) {
    this.#inert = this.#frame.inert = this.#tools.inert = inert;
  }

  toInput() {
    return { photo: this.#url.slice(this.#url.indexOf(",") + 1) };
  }

  snapshot() {
    return this.#url;
  }

  /** @param {string} [url] */
  load(url = "") {
    this.#url = url;
    if (url) this.#shown.src = url;
    this.#shown.hidden = this.#turn.disabled = this.#clear.disabled = url === "";
    this.#hint.classList.toggle("visually-hidden", url !== "");
    part("hint-words", HTMLElement).textContent = `Choose ${url ? "another" : "a"} photograph`;
    this.dispatchEvent(new Event("change"));
    this.dispatchEvent(new Event("rest"));
  }

  reset() {
    this.load();
  }

  focus() {
    this.#upload.focus({ preventScroll: true });
  }

  preview() {
    const picture = new Image(112, 112);
    picture.className = "picture";
    picture.alt = "Your photograph";
    picture.src = this.#url;
    return picture;
  }

  /** @param {Iterable<File> | null | undefined} files */
  async #take(files) {
    const [file] = files ?? [];
    if (!file || this.#inert) return;
    try {
      const bitmap = await createImageBitmap(file); // upright
      this.load(encoded(bitmap, 0));
    } catch {
      this.dispatchEvent(new CustomEvent("complain", { detail: UNREADABLE }));
    }
  }

  async #turned() {
    await this.#shown.decode();
    this.load(encoded(this.#shown, 1));
    this.dispatchEvent(new CustomEvent("say", { detail: "Turned by a quarter" }));
  }
}

/**
 * @param {any} picture an ImageBitmap or an HTMLImageElement
 * @param {number} quarters by how many it is turned
 * @returns {string} a JPEG as a data URL, on white where it was transparent
 */
function encoded(picture, quarters) {
  // An image's `width` is the one that it is shown with.
  const { naturalWidth: wide = picture.width, naturalHeight: high = picture.height } = picture;
  const scale = Math.min(1, SIDE / Math.max(wide, high));
  const width = Math.max(1, Math.round(wide * scale));
  const height = Math.max(1, Math.round(high * scale));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = quarters % 2 ? [height, width] : [width, height];
  const context = canvas.getContext("2d");
  if (!context) throw new Error(UNREADABLE);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((quarters * Math.PI) / 2);
  context.drawImage(picture, -width / 2, -height / 2, width, height);
  return canvas.toDataURL("image/jpeg", QUALITY);
}
