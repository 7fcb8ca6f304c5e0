/**
 * What a drawing is made of, in the order it was done. Coordinates and widths are shares of the
 * canvas's side, so a drawing looks the same on every screen.
 *
 * @typedef {{ kind: "stroke", width: number, points: number[] }} Stroke
 *   `points` holds x, y and pressure (0.5 where the device knows none) of each point in a row
 * @typedef {{ kind: "picture", mask: string }} Picture data URL: the ink is in the alpha channel
 * @typedef {{ kind: "clear" }} Clear
 * @typedef {Stroke | Picture | Clear} Operation
 */

const DATA_SIDE = 112; // pixels of the picture that the server gets
/** Between dark and light. */
const MIDDLE = 127;
const PICTURE_SIDE = 224; // pixels kept of an uploaded picture
const KEY_STEP = 0.02;
const KEY_STEP_LONG = 0.08;
const ARROWS = new Map([
  ["ArrowLeft", [-1, 0]],
  ["ArrowRight", [1, 0]],
  ["ArrowUp", [0, -1]],
  ["ArrowDown", [0, 1]],
]);

/**
 * A canvas to draw on with mouse, finger, pen or keys.
 *
 * Keys: arrows move a pen, with Shift in longer steps; Space puts it down and lifts it, Escape lifts it.
 *
 * Events: "change" whenever the drawing has changed, also in the middle of a stroke; "rest" when it
 * came to rest; "say" with words for who cannot see that the keyboard's pen was put down or lifted.
 */
export class DrawingSurface extends EventTarget {
  /** Stroke width as a share of the side. */
  brush = 0.08;

  #canvas;
  #context;
  #cursor;
  /** @type {Operation[]} */
  #operations = [];
  /** @type {Operation[]} */
  #undone = [];
  /** Decoded masks by data URL. @type {Map<string, HTMLImageElement>} */
  #masks = new Map();

  /** @type {Stroke | null} */
  #stroke = null;
  /** @type {number | null} */
  #pointerId = null;
  #pen = { x: 0.5, y: 0.5 };
  #penDown = false;
  /** @type {Set<string>} */
  #heldArrows = new Set();

  /**
   * @param {HTMLCanvasElement} canvas its CSS `color` is the ink
   * @param {HTMLElement} cursor shows where the keyboard's pen is, by its --x and --y
   */
  constructor(canvas, cursor) {
    super();
    this.#canvas = canvas;
    this.#cursor = cursor;
    const context = canvas.getContext("2d");
    if (!context) throw new Error("This browser cannot draw on a canvas.");
    this.#context = context;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    this.#listenToPointers();
    this.#listenToKeys();
  }

  // --- the drawing ------------------------------------------------------------------------------
  get isEmpty() {
    return this.#visible().length === 0;
  }

  get canUndo() {
    return this.#operations.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** @returns {Operation[]} what `load` takes, also after a reload */
  snapshot() {
    return structuredClone(this.#operations);
  }

  undo() {
    this.#endStroke();
    const operation = this.#operations.pop();
    if (!operation) return;
    this.#undone.push(operation);
    this.#settled();
  }

  redo() {
    const operation = this.#undone.pop();
    if (!operation) return;
    this.#operations.push(operation);
    this.#settled();
  }

  /** Empty the canvas; undo brings the drawing back. */
  clear() {
    this.#endStroke();
    if (!this.isEmpty) this.#add({ kind: "clear" });
  }

  /** Empty the canvas and forget what was on it. */
  reset() {
    this.#endStroke();
    this.#operations = [];
    this.#undone = [];
    this.#penDown = false;
    this.#pen = { x: 0.5, y: 0.5 };
    this.#settled();
  }

  /**
   * Show a drawing that was kept; what is on the canvas can be brought back by undo.
   *
   * @param {Operation[]} [operations]
   */
  async load(operations = []) {
    const pictures = operations.filter((operation) => operation.kind === "picture");
    await Promise.all(pictures.map(({ mask }) => this.#decode(mask)));
    if (!this.isEmpty) this.#operations.push({ kind: "clear" });
    this.#operations.push(...structuredClone(operations));
    this.#undone = [];
    this.#settled();
  }

  /**
   * Take a picture as the drawing.
   *
   * @param {Blob} file a PNG or JPEG
   * @throws {Error} with a sentence for the person
   */
  async addPicture(file) {
    const mask = await inkOf(file);
    await this.#decode(mask);
    if (!this.isEmpty) this.#operations.push({ kind: "clear" });
    this.#add({ kind: "picture", mask });
  }

  /** @returns {{ png: string }} white ink on black, as the server takes it */
  toInput() {
    const url = this.toDataUrl();
    return { png: url.slice(url.indexOf(",") + 1) };
  }

  /** @returns {string} the same picture as a data URL */
  toDataUrl() {
    const { canvas, context } = blank(DATA_SIDE);
    context.fillStyle = "#000";
    context.fillRect(0, 0, DATA_SIDE, DATA_SIDE);
    this.#draw(context, DATA_SIDE, "#fff");
    return canvas.toDataURL("image/png");
  }

  /** Draw again, in the colours of the theme as it is now. */
  repaint() {
    const side = this.#canvas.width;
    this.#context.clearRect(0, 0, side, side);
    this.#draw(this.#context, side, this.#ink());
  }

  /** What has not been cleared away. */
  #visible() {
    const cleared = this.#operations.findLastIndex(({ kind }) => kind === "clear");
    return this.#operations.slice(cleared + 1);
  }

  /** @param {Operation} operation */
  #add(operation) {
    this.#operations.push(operation);
    this.#undone = [];
    this.#settled();
  }

  #settled() {
    this.repaint();
    this.#placeCursor();
    this.dispatchEvent(new Event("change"));
    this.dispatchEvent(new Event("rest"));
  }

  // --- painting ---------------------------------------------------------------------------------
  #ink() {
    return getComputedStyle(this.#canvas).color;
  }

  #fit() {
    const side = Math.round(this.#canvas.clientWidth * Math.min(devicePixelRatio || 1, 3));
    if (side > 0 && side !== this.#canvas.width) {
      this.#canvas.width = side;
      this.#canvas.height = side;
      this.repaint();
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} side
   * @param {string} ink
   */
  #draw(context, side, ink) {
    for (const operation of this.#visible()) {
      if (operation.kind === "stroke") drawStroke(context, side, ink, operation);
      if (operation.kind === "picture") this.#drawPicture(context, side, ink, operation);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} side
   * @param {string} ink
   * @param {Picture} picture
   */
  #drawPicture(context, side, ink, { mask }) {
    const image = this.#masks.get(mask);
    if (!image) return;
    const layer = blank(side);
    layer.context.drawImage(image, 0, 0, side, side);
    layer.context.globalCompositeOperation = "source-in";
    layer.context.fillStyle = ink;
    layer.context.fillRect(0, 0, side, side);
    context.drawImage(layer.canvas, 0, 0);
  }

  /** @param {string} mask */
  async #decode(mask) {
    if (this.#masks.has(mask)) return;
    const image = new Image();
    image.src = mask;
    await image.decode();
    this.#masks.set(mask, image);
  }

  // --- strokes ----------------------------------------------------------------------------------
  /**
   * @param {number} x
   * @param {number} y
   * @param {number} pressure
   */
  #beginStroke(x, y, pressure) {
    this.#stroke = { kind: "stroke", width: this.brush, points: [round(x), round(y), pressure] };
    this.#operations.push(this.#stroke);
    this.#undone = [];
    this.#paintTail();
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} pressure
   */
  #extendStroke(x, y, pressure) {
    this.#stroke?.points.push(round(x), round(y), pressure);
    this.#paintTail();
  }

  /** Paint only what the last point added: a long stroke stays as quick as a short one. */
  #paintTail() {
    if (!this.#stroke) return;
    const { length } = this.#stroke.points;
    drawStroke(this.#context, this.#canvas.width, this.#ink(), this.#stroke, length / 3 - 1);
  }

  #endStroke() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#pointerId = null;
    if (this.#penDown) this.#setPen(false);
    this.#settled();
  }

  // --- mouse, finger, pen -----------------------------------------------------------------------
  #listenToPointers() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (this.#pointerId !== null || event.button !== 0) return; // one finger draws, a second does not
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      if (this.#penDown) this.#endStroke();
      canvas.setPointerCapture(event.pointerId);
      this.#pointerId = event.pointerId;
      this.#cursor.hidden = true;
      this.#beginStroke(...this.#point(event));
      this.dispatchEvent(new Event("change"));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.#pointerId) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const move of moves.length ? moves : [event]) this.#extendStroke(...this.#point(move));
      this.dispatchEvent(new Event("change"));
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => {
        if (event instanceof PointerEvent && event.pointerId === this.#pointerId) this.#endStroke();
      });
    }
  }

  /**
   * @param {PointerEvent} event
   * @returns {[number, number, number]}
   */
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const pressure = event.pointerType === "pen" ? event.pressure : 0.5;
    return [
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
      round(pressure),
    ];
  }

  // --- keys -------------------------------------------------------------------------------------
  #listenToKeys() {
    const canvas = this.#canvas;
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (ARROWS.has(event.key)) {
        this.#heldArrows.add(event.key);
        this.#movePen(event.shiftKey ? KEY_STEP_LONG : KEY_STEP);
      } else if (event.key === " " && !event.repeat) {
        this.#togglePen();
      } else if (event.key === "Escape" && this.#penDown) {
        this.#endStroke();
      } else {
        return;
      }
      event.preventDefault(); // arrows and Space would scroll the page
    });
    canvas.addEventListener("keyup", (event) => this.#heldArrows.delete(event.key));
    canvas.addEventListener("blur", () => {
      this.#heldArrows.clear();
      this.#cursor.hidden = true;
      this.#endStroke();
    });
  }

  /** @param {number} step */
  #movePen(step) {
    for (const key of this.#heldArrows) {
      const [dx, dy] = ARROWS.get(key) ?? [0, 0];
      this.#pen.x = Math.min(1, Math.max(0, this.#pen.x + dx * step));
      this.#pen.y = Math.min(1, Math.max(0, this.#pen.y + dy * step));
    }
    this.#cursor.hidden = false;
    this.#placeCursor();
    if (!this.#penDown) return;
    this.#extendStroke(this.#pen.x, this.#pen.y, 0.5);
    this.dispatchEvent(new Event("change"));
  }

  #togglePen() {
    this.#cursor.hidden = false;
    this.#placeCursor();
    if (this.#penDown) {
      this.#endStroke();
      return;
    }
    this.#setPen(true);
    this.#beginStroke(this.#pen.x, this.#pen.y, 0.5);
    this.dispatchEvent(new Event("change"));
  }

  /** @param {boolean} down */
  #setPen(down) {
    this.#penDown = down;
    this.#cursor.classList.toggle("pen--down", down);
    this.dispatchEvent(new CustomEvent("say", { detail: down ? "Pen down" : "Pen lifted" }));
  }

  #placeCursor() {
    this.#cursor.style.setProperty("--x", String(this.#pen.x));
    this.#cursor.style.setProperty("--y", String(this.#pen.y));
  }
}

/**
 * Draw a stroke, or only what its points from `from` on add: curves through the middles between
 * points, with the points as their controls, so that no corner shows where points are far apart.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} side
 * @param {string} ink
 * @param {Stroke} stroke
 * @param {number} [from] index of a point
 */
function drawStroke(context, side, ink, { width, points }, from = 0) {
  const x = (/** @type {number} */ index) => points[index * 3] * side;
  const y = (/** @type {number} */ index) => points[index * 3 + 1] * side;
  const count = points.length / 3;
  context.strokeStyle = ink;
  context.fillStyle = ink;
  context.lineCap = "round";
  context.lineJoin = "round";
  for (let index = from; index < count; index += 1) {
    context.lineWidth = width * side * (0.6 + 0.8 * points[index * 3 + 2]);
    context.beginPath();
    if (index === 0) {
      // A tap alone leaves a dot; as a line without length it would not be painted.
      context.arc(x(0), y(0), context.lineWidth / 2, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    const before = Math.max(0, index - 2);
    context.moveTo((x(before) + x(index - 1)) / 2, (y(before) + y(index - 1)) / 2);
    context.quadraticCurveTo(
      x(index - 1),
      y(index - 1),
      (x(index - 1) + x(index)) / 2,
      (y(index - 1) + y(index)) / 2,
    );
    // Up to the pen's tip; the next point replaces this piece by a curve when all is painted anew.
    if (index === count - 1) context.lineTo(x(index), y(index));
    context.stroke();
  }
}

/**
 * The ink of a picture: what differs from its border, whether it is dark on light or light on dark.
 *
 * @param {Blob} file
 * @returns {Promise<string>} data URL of a square whose alpha channel is the ink
 */
async function inkOf(file) {
  if (!["image/png", "image/jpeg"].includes(file.type)) {
    throw new Error("Choose a PNG or JPEG picture.");
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("This picture cannot be read. Try another PNG or JPEG.");
  }
  const scale = PICTURE_SIDE / Math.max(bitmap.width, bitmap.height);
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const { canvas, context } = blank(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();

  const pixels = context.getImageData(0, 0, width, height);
  const gray = grayOf(pixels);
  const frame = frameOf(gray, width, height);
  const paper = ringMedian(gray, width, height, frame);
  /** @param {number} index */
  const inFrame = (index) => edgeDistance(index, width, height) < frame;
  const strongest = gray.reduce(
    (most, value, index) => (inFrame(index) ? most : Math.max(most, Math.abs(value - paper))),
    0,
  );
  if (strongest < 24) throw new Error("Nothing can be seen on this picture.");
  const darkInk = paper > MIDDLE;
  for (let index = 0; index < gray.length; index += 1) {
    const difference = darkInk ? paper - gray[index] : gray[index] - paper;
    const ink = inFrame(index) ? 0 : Math.min(1, Math.max(0, difference / strongest));
    pixels.data.set([0, 0, 0, ink * 255], index * 4);
  }
  context.putImageData(pixels, 0, 0);

  const square = blank(PICTURE_SIDE);
  square.context.drawImage(canvas, (PICTURE_SIDE - width) / 2, (PICTURE_SIDE - height) / 2);
  return square.canvas.toDataURL("image/png");
}

/**
 * How light each pixel is, on the paper against which its ink shows where it is transparent: the
 * server reads a picture alike (kinds/image/pixels.py), here and in `frameOf`.
 *
 * @param {ImageData} pixels
 */
function grayOf({ data }) {
  const gray = new Float32Array(data.length / 4);
  let [light, seen] = [0, 0];
  for (let index = 0; index < gray.length; index += 1) {
    const [red, green, blue, alpha] = data.subarray(index * 4, index * 4 + 4);
    gray[index] = 0.299 * red + 0.587 * green + 0.114 * blue;
    if (alpha === 0) continue;
    light += gray[index];
    seen += 1;
  }
  const paper = light > MIDDLE * seen ? 0 : 255;
  return gray.map((value, index) => {
    const alpha = data[index * 4 + 3] / 255;
    return value * alpha + paper * (1 - alpha);
  });
}

/**
 * How many pixels the thin dark frame has that a scanner leaves round a light page, or the reverse.
 *
 * @param {Float32Array} gray
 * @param {number} width
 * @param {number} height
 */
function frameOf(gray, width, height) {
  const deep = Math.max(2, Math.floor(Math.max(width, height) / 32));
  if (Math.min(width, height) < 8 * deep) return 0;
  /** @param {number} depth */
  const isLight = (depth) => ringMedian(gray, width, height, depth) > MIDDLE;
  const inside = isLight(deep);
  let depth = 0;
  while (isLight(depth) !== inside) depth += 1;
  return depth && depth + 1; // and its soft edge
}

/**
 * @param {number} index
 * @param {number} width
 * @param {number} height
 */
function edgeDistance(index, width, height) {
  const x = index % width;
  const y = Math.floor(index / width);
  return Math.min(x, y, width - 1 - x, height - 1 - y);
}

/**
 * @param {Float32Array} gray
 * @param {number} width
 * @param {number} height
 * @param {number} depth of the ring, from the border
 */
function ringMedian(gray, width, height, depth) {
  const ring = gray.filter((_, index) => edgeDistance(index, width, height) === depth).sort();
  return ring[Math.floor(ring.length / 2)];
}

/**
 * @param {number} width
 * @param {number} [height]
 */
function blank(width, height = width) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("This browser cannot draw on a canvas.");
  return { canvas, context };
}

/**
 * Four digits are a tenth of a screen pixel at most, and keep drafts small.
 *
 * @param {number} value
 */
function round(value) {
  return Math.round(value * 10_000) / 10_000;
}
