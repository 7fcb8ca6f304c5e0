/**
 * An answer that is marked in a passage: by mouse (drag, or click a word), by touch (tap its first and
 * its last word, or select) and by keys (arrows go from word to word, Shift marks more of them).
 *
 * A mark is whole words, so that two people who mean the same mark the same. It travels as
 * `{ text, start }` with `start` in Unicode code points; here, in the page, offsets are UTF-16.
 *
 * It is to the page what Labels are. Event: "choose" when the mark has changed.
 *
 * @typedef {{ text: string, start: number }} Answer
 * @typedef {{ from: number, to: number }} Span in UTF-16 units
 */
export class Marking extends EventTarget {
  missing = "Mark the answer in the text.";

  /** @type {HTMLElement | null} */
  #element = null;
  #text = "";
  /** @type {Span[]} */
  #words = [];
  /** Where sentences begin, as places in #words. @type {number[]} */
  #sentences = [];
  /** @type {Span | null} */
  #mark = null;
  /** The word at which a mark begins that keys or taps extend. */
  #anchor = 0;
  #focus = -1;
  #tapped = false;

  constructor() {
    super();
    document.addEventListener("selectionchange", () => this.#selected());
  }

  /** @param {HTMLElement | null} element holds the passage as one text */
  markIn(element) {
    this.#element = element;
    this.#text = element?.textContent ?? "";
    const lang = element?.closest("[lang]")?.getAttribute("lang") ?? undefined;
    this.#words = [...new Intl.Segmenter(lang, { granularity: "word" }).segment(this.#text)]
      .filter(({ isWordLike }) => isWordLike)
      .map(({ index, segment }) => ({ from: index, to: index + segment.length }));
    const sentences = new Intl.Segmenter(lang, { granularity: "sentence" }).segment(this.#text);
    this.#sentences = [...sentences]
      .map(({ index }) => this.#words.findIndex(({ from }) => from >= index))
      .filter((place, index, all) => place >= 0 && all.indexOf(place) === index);
    this.read(null);
    this.#set(null);
    if (!element) return;
    element.tabIndex = 0;
    element.classList.add("to-mark");
    element.setAttribute("role", "textbox");
    element.setAttribute("aria-multiline", "true");
    element.setAttribute("aria-readonly", "true");
    element.setAttribute("aria-label", `${this.missing} Arrow keys go from word to word, Shift marks more.`);
    element.addEventListener("click", (event) => this.#click(event));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @returns {Answer | null} */
  get chosen() {
    if (!this.#mark) return null;
    const { from, to } = this.#mark;
    return { text: this.#text.slice(from, to), start: [...this.#text.slice(0, from)].length };
  }

  /** @param {unknown} answer */
  choose(answer) {
    this.#set(this.#spanOf(answer));
  }

  /** Show where the model finds its answer, if it says where. @param {unknown} answer */
  read(answer) {
    this.#highlight("read-by-model", this.#spanOf(answer));
  }

  /** No key stands for an answer. */
  press() {
    return false;
  }

  /** @param {any} answer */
  nameOf(answer) {
    return String(answer?.text ?? answer);
  }

  focus() {
    this.#element?.focus();
  }

  /**
   * @param {any} answer
   * @returns {Span | null}
   */
  #spanOf(answer) {
    if (typeof answer?.text !== "string" || !Number.isInteger(answer.start)) return null;
    const from = [...this.#text].slice(0, answer.start).join("").length;
    const to = from + answer.text.length;
    return this.#text.slice(from, to) === answer.text ? { from, to } : null;
  }

  /** @param {Span | null} span */
  #set(span) {
    this.#mark = span;
    if (!span) [this.#anchor, this.#focus, this.#tapped] = [0, -1, false];
    this.#highlight("marked-answer", span);
    this.dispatchEvent(new Event("choose"));
  }

  /** Mark from one word to another. @param {number} one @param {number} other */
  #markWords(one, other) {
    [this.#anchor, this.#focus] = [one, other];
    const [first, last] = one < other ? [one, other] : [other, one];
    this.#set({ from: this.#words[first].from, to: this.#words[last].to });
  }

  /** @param {string} name @param {Span | null} span */
  #highlight(name, span) {
    const node = this.#element?.firstChild;
    CSS.highlights?.delete(name);
    if (!span || !node || !CSS.highlights) return;
    const range = document.createRange();
    range.setStart(node, span.from);
    range.setEnd(node, span.to);
    CSS.highlights.set(name, new Highlight(range));
  }

  get #inert() {
    return !this.#element?.isConnected || this.#element.closest("[inert]") !== null;
  }

  /** What is selected, by whatever means a device has for it, is marked: all words it touches. */
  #selected() {
    const selection = document.getSelection();
    const node = this.#element?.firstChild;
    if (!selection?.rangeCount || selection.isCollapsed || !node || this.#inert) return;
    const { startContainer, startOffset, endContainer, endOffset } = selection.getRangeAt(0);
    if (startContainer !== node) return;
    const to = endContainer === node ? endOffset : this.#text.length;
    const touched = (/** @type {Span} */ word) => word.to > startOffset && word.from < to;
    const first = this.#words.findIndex(touched);
    if (first >= 0) this.#markWords(first, this.#words.findLastIndex(touched));
  }

  /** @param {MouseEvent} event */
  #click(event) {
    if (this.#inert || document.getSelection()?.isCollapsed === false) return;
    const at = offsetAt(event.clientX, event.clientY);
    const word = this.#words.findIndex(({ from, to }) => from <= at && at <= to);
    if (word < 0) return;
    const byTouch = "pointerType" in event && event.pointerType === "touch";
    const extend = this.#mark !== null && (event.shiftKey || (byTouch && this.#tapped));
    this.#markWords(extend ? this.#anchor : word, word);
    this.#tapped = byTouch && !extend;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#inert || !this.#words.length) return;
    const to = this.#target(event.key);
    if (to === null) return;
    event.preventDefault();
    document.getSelection()?.removeAllRanges();
    if (event.key === "Escape") this.#set(null);
    else this.#markWords(event.shiftKey && this.#mark ? this.#anchor : to, to);
  }

  /** The word that a key goes to, null for a key of no meaning here. @param {string} key */
  #target(key) {
    const last = this.#words.length - 1;
    const rightToLeft = this.#element && getComputedStyle(this.#element).direction === "rtl";
    const [on, back] = rightToLeft ? ["ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft"];
    const places = {
      [on]: Math.min(this.#focus + 1, last),
      [back]: Math.max(this.#focus - 1, 0),
      ArrowDown: this.#sentences.find((place) => place > this.#focus) ?? last,
      ArrowUp: this.#sentences.findLast((place) => place < this.#focus) ?? 0,
      Home: 0,
      End: last,
      Escape: 0,
    };
    return places[key] ?? null;
  }
}

/**
 * @param {number} x
 * @param {number} y
 * @returns {number} the offset in the text at this point of the window
 */
function offsetAt(x, y) {
  if (document.caretPositionFromPoint) return document.caretPositionFromPoint(x, y)?.offset ?? -1;
  return document.caretRangeFromPoint?.(x, y)?.startOffset ?? -1; // Safari
}
