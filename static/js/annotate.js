/** The annotator's page: draw, watch the model read, say what it is, see whether it was fooled. */
import { DrawingSurface } from "./canvas.js";
import { TaskChannel } from "./channel.js";
import { Labels } from "./labels.js";
import { newUuid, Outbox } from "./outbox.js";
import { part } from "./page_parts.js";
import { Reading } from "./reading.js";
import { createRest } from "./rest.js";
import { SessionStrip } from "./session.js";
import { socketUrl } from "./socket.js";
import { Shelf } from "./storage.js";
import { showToast } from "./toast.js";
import { Verdict } from "./verdict.js";

const PATIENCE_MS = 3_000;

/**
 * @typedef {object} Page what the server wrote into the page
 * @property {string} slug
 * @property {string} person names who draws, in this browser's storage
 * @property {boolean} sandbox
 * @property {{ value: string, name: string, key: string | null }[]} labels
 * @property {string} api
 * @property {string} socket
 * @property {string} csrfToken
 */
/** @type {Page} */
const page = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");

const canvas = part("canvas", HTMLCanvasElement);
const form = part("form", HTMLFormElement);
const complaint = part("complaint", HTMLElement);
const connection = part("connection", HTMLElement);
const news = part("news", HTMLElement);
const announcer = part("announcer", HTMLElement);

const storageName = `dadc:${page.slug}:${page.person}`;
const shelf = new Shelf(storageName);
const outbox = new Outbox(storageName);
const rest = createRest({ root: page.api, csrfToken: page.csrfToken });
const surface = new DrawingSurface(canvas, part("cursor", HTMLElement));
const labels = new Labels(page.labels, form);
const reading = new Reading(
  {
    panel: part("readout", HTMLElement),
    answer: part("answer", HTMLElement),
    share: part("share", HTMLElement),
    bars: part("bars", HTMLElement),
  },
  page.labels,
  labels,
  announce,
);
const strip = new SessionStrip();
const verdict = new Verdict(part("verdict", HTMLElement), {
  rest,
  sandbox: page.sandbox,
  nameOf: (value) => labels.nameOf(value),
});
const channel = new TaskChannel({
  slug: page.slug,
  person: page.person,
  socketUrl: socketUrl(page.socket),
  rest,
  outbox,
});

/** The submission whose verdict is on the screen. @type {string | null} */
let current = null;

// --- drawing --------------------------------------------------------------------------------------
const hint = part("hint", HTMLElement);
const undo = part("undo", HTMLButtonElement);
const redo = part("redo", HTMLButtonElement);
const clear = part("clear", HTMLButtonElement);

surface.addEventListener("change", () => {
  hint.hidden = !surface.isEmpty;
  if (surface.isEmpty) {
    channel.forget();
    reading.clear();
  } else {
    reading.expect();
    channel.predict(surface.toInput());
  }
});

surface.addEventListener("strokeend", () => {
  undo.disabled = !surface.canUndo;
  redo.disabled = !surface.canRedo;
  clear.disabled = surface.isEmpty;
  complaint.textContent = "";
  keepDraft();
});

surface.addEventListener("pen", (event) => {
  if (event instanceof CustomEvent) announce(event.detail.down ? "Pen down" : "Pen lifted");
});

undo.addEventListener("click", () => surface.undo());
redo.addEventListener("click", () => surface.redo());
clear.addEventListener("click", () => surface.clear());
document.addEventListener("themechange", () => surface.repaint());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => surface.repaint());

const brush = part("brush", HTMLInputElement);
function chooseBrush() {
  surface.brush = brush.valueAsNumber / 100;
  shelf.set("brush", brush.valueAsNumber);
}
brush.valueAsNumber = shelf.get("brush") ?? brush.valueAsNumber;
brush.addEventListener("input", chooseBrush);
chooseBrush();

// --- a picture instead of a drawing ---------------------------------------------------------------
const upload = part("upload", HTMLInputElement);

/** @param {Iterable<File> | null | undefined} files */
async function takePicture(files) {
  const [file] = files ?? [];
  if (!file || verdict.isOpen) return;
  try {
    await surface.addPicture(file);
  } catch (error) {
    complaint.textContent = error instanceof Error ? error.message : String(error);
  }
}

upload.addEventListener("change", async () => {
  await takePicture(upload.files);
  upload.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", (event) => void takePicture(event.clipboardData?.files));
canvas.addEventListener("dragover", (event) => event.preventDefault());
canvas.addEventListener("drop", (event) => {
  event.preventDefault();
  void takePicture(event.dataTransfer?.files);
});

// --- what the model reads -------------------------------------------------------------------------
channel.addEventListener("prediction", (event) => {
  if (event instanceof CustomEvent) reading.show(event.detail, channel.isUpToDate);
});

channel.addEventListener("unreadable", (event) => {
  if (event instanceof CustomEvent) reading.clear(event.detail.message);
});

channel.addEventListener("again", predictAnew);

function predictAnew() {
  if (!surface.isEmpty && !verdict.isOpen) channel.predict(surface.toInput());
}

/** @param {string} words for screen readers */
function announce(words) {
  announcer.textContent = words;
}

// --- saying what it is, and submitting ------------------------------------------------------------
labels.addEventListener("choose", () => {
  complaint.textContent = "";
  keepDraft();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

function submit() {
  if (verdict.isOpen) return;
  const label = labels.chosen;
  if (surface.isEmpty) {
    complaint.textContent = "Draw something first.";
    canvas.focus();
    return;
  }
  if (label === null) {
    complaint.textContent = "Say which one it is, so that we know what the model should read.";
    form.querySelector("input")?.focus();
    return;
  }
  const clientId = newUuid();
  outbox.put({
    clientId,
    input: surface.toInput(),
    label,
    drawing: surface.operations,
    madeAt: Date.now(),
  });
  showSending(clientId);
  channel.flush();
}

/** @param {string} clientId */
function showSending(clientId) {
  current = clientId;
  setBusy(true);
  verdict.sending(surface.toDataUrl());
  setTimeout(() => explainWait(clientId), channel.state === "waiting" ? 0 : PATIENCE_MS);
}

/** @param {string} clientId */
function explainWait(clientId) {
  if (current !== clientId || !outbox.get(clientId) || outbox.get(clientId)?.refusal) return;
  verdict.delayed("It is sent by itself when the connection is back. You can go on drawing.");
}

channel.addEventListener("accepted", (event) => {
  if (!(event instanceof CustomEvent)) return;
  const { client_id: clientId, label, session: totals, ...result } = event.detail;
  if (totals) strip.show(totals);
  else strip.count(result.fooled);
  showOutbox();
  if (clientId === current) {
    const sentence = verdict.accepted(result, label);
    announce(sentence);
    if (result.probabilities) reading.show(result, true);
    shelf.remove("draft");
  } else {
    showToast(result.fooled ? "An earlier drawing was sent: you fooled it." : "An earlier drawing was sent.");
  }
});

channel.addEventListener("refused", (event) => {
  if (!(event instanceof CustomEvent)) return;
  const { client_id: clientId, message } = event.detail;
  if (clientId === current) {
    outbox.remove(clientId); // the drawing is still on the canvas
    verdict.refused(message);
    announce(message);
  }
  showOutbox();
});

channel.addEventListener("delayed", (event) => {
  if (!(event instanceof CustomEvent) || event.detail.client_id !== current) return;
  const seconds = Math.max(1, Math.round(event.detail.inMs / 1000));
  verdict.delayed(`The server is busy: it is sent by itself in ${seconds} s. You can go on drawing.`);
});

verdict.addEventListener("next", () => {
  leaveVerdict();
  surface.reset();
  labels.choose(null);
  shelf.remove("draft");
});

verdict.addEventListener("edit", () => {
  leaveVerdict();
  keepDraft();
  predictAnew();
});

/** While a verdict lies over the canvas, what belongs to the drawing cannot be pressed. @param {boolean} busy */
function setBusy(busy) {
  form.inert = busy;
  part("tools", HTMLElement).inert = busy;
}

function leaveVerdict() {
  current = null;
  setBusy(false);
  verdict.close();
  canvas.focus({ preventScroll: true });
}

// --- what stays after a reload --------------------------------------------------------------------
function keepDraft() {
  if (surface.isEmpty && labels.chosen === null) shelf.remove("draft");
  else shelf.set("draft", { operations: surface.operations, label: labels.chosen });
}

async function restoreDraft() {
  const draft = shelf.get("draft");
  if (!draft) return;
  await surface.load(draft.operations ?? []);
  labels.choose(draft.label ?? null);
  // Submitted before the reload and not answered: it is sent again, and its verdict shown.
  const sent = outbox.waiting().find(({ drawing }) => same(drawing, draft.operations));
  if (sent) showSending(sent.clientId);
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Tell about drawings that wait to be sent or were refused while another one was on the canvas. */
function showOutbox() {
  const refused = outbox.refused().filter(({ clientId }) => clientId !== current);
  const box = part("refused", HTMLElement);
  box.hidden = refused.length === 0;
  const [first] = refused;
  if (!first) return;
  part("refused-words", HTMLElement).textContent =
    `A drawing you called ${first.label} was not taken: ${first.refusal}`;
}

part("refused-back", HTMLButtonElement).addEventListener("click", async () => {
  const [first] = outbox.refused();
  if (!first) return;
  if (verdict.isOpen) leaveVerdict();
  outbox.remove(first.clientId);
  labels.choose(first.label);
  await surface.load(first.drawing);
  showOutbox();
});

part("refused-drop", HTMLButtonElement).addEventListener("click", () => {
  const [first] = outbox.refused();
  if (first) outbox.remove(first.clientId);
  showOutbox();
});

// --- the connection and the round -----------------------------------------------------------------
const CONNECTION_WORDS = {
  connecting: "",
  live: "",
  rest: "Live connection not possible here: the bars move a little later, all else works.",
  waiting: "Connection lost. Go on drawing: what you submit is kept here and sent when it is back.",
  stranger: "You are not signed in as before: reload this page. Your drawing stays on this device.",
  gone: "This task is not open to you any more. Your drawing stays on this device.",
};

channel.addEventListener("state", () => {
  const words = CONNECTION_WORDS[channel.state];
  part("connection-words", HTMLElement).textContent = words;
  connection.hidden = words === "";
  connection.classList.toggle("notice--warn", channel.state !== "rest");
  document.documentElement.dataset.connection = channel.state;
  if (channel.state === "live" || channel.state === "rest") predictAnew();
  if (channel.state === "waiting" && current && outbox.get(current)) explainWait(current);
});

channel.addEventListener("ready", (event) => {
  if (!(event instanceof CustomEvent)) return;
  strip.show(event.detail.session);
  showRound(event.detail);
});

channel.addEventListener("round", (event) => {
  if (!(event instanceof CustomEvent)) return;
  showRound(event.detail);
  part("news-words", HTMLElement).textContent =
    `Round ${event.detail.round} has begun: the model learned from the confirmed foolings. Go on, it is the new one that reads now.`;
  news.hidden = false;
  predictAnew();
});

part("news-close", HTMLButtonElement).addEventListener("click", () => {
  news.hidden = true;
});

channel.addEventListener("problem", (event) => {
  if (event instanceof CustomEvent) showToast(event.detail.message);
});

/** @param {{ round: number | null, model: string | null }} now */
function showRound({ round, model }) {
  part("round", HTMLElement).textContent =
    round === null ? "No round is open right now" : `Round ${round}`;
  part("model", HTMLElement).textContent = model ? `against ${model}` : "";
}

// --- keys -----------------------------------------------------------------------------------------
document.addEventListener("keydown", (event) => {
  const inText = event.target instanceof Element && event.target.closest("textarea, input[type=text]");
  if (inText || document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (verdict.isOpen || !["z", "y"].includes(key)) return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) surface.redo();
    else surface.undo();
    return;
  }
  if (event.altKey || verdict.isOpen) return;
  const label = labels.byKey(event.key);
  if (label !== undefined) {
    labels.choose(label);
    announce(`You say ${labels.nameOf(label)}`);
  } else if (event.key === "Enter" && event.target === canvas) {
    event.preventDefault();
    submit();
  }
});

await restoreDraft();
showOutbox();
channel.start();
