/** Shows which parts of what was submitted spoke for the model's answer, and which against it. */

/**
 * @typedef {object} Why as the server tells it
 * @property {string} label
 * @property {string | null} rather_than
 * @property {string} method
 * @property {number | null} off
 * @property {Record<string, string>} texts
 * @property {{ field: string, start: number, end: number, weight: number }[]} pieces
 * @property {number[][]} grid
 * @property {number[][]} read
 */

/**
 * @param {Why} why
 * @param {(label: string) => string} nameOf
 * @returns {HTMLElement[]}
 */
export function reasons(why, nameOf) {
  const most = Math.max(...why.pieces.map(({ weight }) => Math.abs(weight)), ...why.grid.flat().map(Math.abs), 1e-9);
  const shown = why.grid.length ? [map(why, most)] : Object.keys(why.texts).map((field) => marked(why, field, most));
  const other = why.rather_than ? nameOf(why.rather_than) : "";
  const legend = paragraph("small");
  legend.append(
    mark(`for ${nameOf(why.label)}`, 0.7),
    " ",
    mark(other ? `for ${other}` : `against ${nameOf(why.label)}`, -0.7),
  );
  const off = why.off === null ? "" : `; they add up to within ${percents(why.off)}`;
  const method = paragraph("small soft");
  method.textContent = `By ${why.method}${off}. A hint at what it looked at, no proof.`;
  return [...shown, legend, method];
}

/** @param {number} share */
function percents(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}\u202f%`;
}

/**
 * @param {Why} why
 * @param {string} field
 * @param {number} most
 */
function marked(why, field, most) {
  const points = [...(why.texts[field] ?? "")];
  const text = paragraph("why__text");
  text.dir = "auto";
  let at = 0;
  for (const { start, end, weight } of why.pieces.filter((piece) => piece.field === field)) {
    text.append(points.slice(at, start).join(""), mark(points.slice(start, end).join(""), weight / most));
    at = end;
  }
  text.append(points.slice(at).join(""));
  return text;
}

/**
 * @param {Why} why
 * @param {number} most
 */
function map(why, most) {
  const element = document.createElement("div");
  element.className = "why__map";
  element.role = "img";
  element.ariaLabel = "What the model read, with what spoke for and against its answer";
  element.style.setProperty("--columns", String(why.grid[0]?.length ?? 1));
  why.grid.forEach((row, y) =>
    row.forEach((weight, x) => {
      const cell = document.createElement("i");
      weigh(cell, weight / most);
      cell.style.setProperty("--read", String(why.read[y]?.[x] ?? 0));
      element.append(cell);
    }),
  );
  return element;
}

/**
 * @param {string} words
 * @param {number} weight -1 to 1
 */
function mark(words, weight) {
  const element = document.createElement("mark");
  element.className = "why__word";
  element.textContent = words;
  weigh(element, weight);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {number} weight
 */
function weigh(element, weight) {
  element.style.setProperty("--weight", Math.abs(weight).toFixed(2));
  element.classList.toggle("why--against", weight < 0);
}

/** @param {string} className */
function paragraph(className) {
  const element = document.createElement("p");
  element.className = className;
  return element;
}
