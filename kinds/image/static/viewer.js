/** Shows a drawing or a photograph to a validator, with its context if it has one. */
import { texts } from "../../js/texts.js";

/** @typedef {import("../../js/choices.js").Item} Item */

/** Pictures that are ready to be shown. @type {WeakMap<object, HTMLImageElement>} */
const ready = new WeakMap();

/** @param {Item} item to be shown next: its picture is decoded now, and not then */
export function prepare(item) {
  const picture = pictureOf(item);
  ready.set(item, picture);
  void picture.decode().catch(() => {});
}

/**
 * @param {HTMLElement} frame
 * @param {Item} item
 */
export function show(frame, item) {
  frame.replaceChildren(...texts(item.context, "context"), ready.get(item) ?? pictureOf(item));
}

/** @param {Item} item */
function pictureOf(item) {
  const picture = document.createElement("img");
  picture.className = "picture";
  picture.decoding = "sync";
  const { png, photo } = item.input;
  picture.src = photo ? `data:image/jpeg;base64,${photo}` : `data:image/png;base64,${png}`;
  picture.alt = `The ${photo ? "photograph" : "drawing"} to judge`;
  return picture;
}
