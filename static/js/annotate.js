/** The annotator's page: make something, watch the model read it, say what it is, see whether it was fooled. */
import { TaskChannel } from "./channel.js";
import { Contexts } from "./contexts.js";
import { keysOf } from "./keys.js";
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
import { accepted } from "./warning.js";

const PATIENCE_MS = 3_000;

/**
 * @typedef {object} Page what the server wrote into the page
 * @property {string} slug
 * @property {string} person names who is here, in this browser's storage
 * @property {boolean} sandbox
 * @property {{ asked: string, of: string, required: boolean, question: string }} explanation
 * @property {{ example: string, message: string } | null} due what must be explained first
 * @property {boolean} alone whether the model answers only what was submitted
 * @property {string} warning
 * @property {import("./labels.js").Label[]} labels
 * @property {import("./labels.js").Label | null} none stands for no label, where one may choose several
 * @property {string} editor the address of its module
 * @property {string | null} claim what the model stands for, where nobody predicts
 * @property {boolean} explains whether models may tell why they answered so
 * @property {boolean} contexts whether the server gives something to write about
 * @property {import("./editor.js").Words} words
 * @property {string} api
 * @property {string} socket
 * @property {string} csrfToken
 */
/** @type {Page} */
const page = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");

const { words } = page;
const form = part("form", HTMLFormElement);
const complaint = part("complaint", HTMLElement);
/** Where one says why before the model answers, if the task asks for it. */
const why = page.explanation.asked === "before" ? part("why", HTMLTextAreaElement) : null;
const connection = part("connection", HTMLElement);
const news = part("news", HTMLElement);
const announcer = part("announcer", HTMLElement);

const storageName = `dadc:${page.slug}:${page.person}`;
const shelf = new Shelf(storageName);
const outbox = new Outbox(storageName);
const rest = createRest(page);
const begun = page.warning !== "" && (await accepted(page.warning, shelf));
const channel = new TaskChannel({
  slug: page.slug,
  person: page.person,
  socketUrl: socketUrl(page.socket),
  rest,
  outbox,
});
const { Editor } = await import(page.editor);
/** @type {import("./editor.js").Editor} */
const editor = new Editor({ shelf, channel, rest, slug: page.slug });
const labels = editor.answers ?? new Labels(page.labels, page.none, form);
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
  explains: page.explains && page.claim === null,
  explanation: page.explanation,
  nameOf: (answer) => labels.nameOf(answer),
  words,
});
const contexts = page.contexts
  ? new Contexts({ rest, slug: page.slug, nameOf: (value) => labels.nameOf(value) })
  : null;

/** The submission whose verdict is on the screen. @type {string | null} */
let current = null;

// --- what is made ---------------------------------------------------------------------------------
editor.addEventListener("change", () => {
  if (page.claim !== null) return;
  if (editor.isEmpty) {
    channel.forget();
    reading.clear();
  } else if (!page.alone) {
    reading.expect();
    channel.predict(asked());
  }
});

editor.addEventListener("rest", () => {
  complaint.textContent = "";
  keepDraft();
});

editor.addEventListener("outcome", (event) => {
  if (event instanceof CustomEvent) labels.choose(event.detail);
});
editor.addEventListener("submit", submit);
editor.addEventListener("say", (event) => {
  if (event instanceof CustomEvent) announce(event.detail);
});
editor.addEventListener("complain", (event) => {
  if (event instanceof CustomEvent) complaint.textContent = event.detail;
});

// --- what the model reads -------------------------------------------------------------------------
channel.addEventListener("prediction", (event) => {
  if (!(event instanceof CustomEvent)) return;
  reading.show(event.detail, channel.isUpToDate);
  if (channel.isUpToDate) editor.read?.(event.detail.prediction);
});

channel.addEventListener("unreadable", (event) => {
  if (event instanceof CustomEvent) reading.clear(event.detail.message);
});

channel.addEventListener("again", predictAnew);

function predictAnew() {
  const answers = !page.alone && page.claim === null;
  if (answers && !editor.isEmpty && !verdict.isOpen) channel.predict(asked());
}

function asked() {
  return { input: editor.toInput(), context: contexts?.given?.context };
}

/** @param {string} sentence for screen readers */
function announce(sentence) {
  announcer.textContent = sentence;
}

// --- saying what it is, and submitting ------------------------------------------------------------
labels.addEventListener("choose", () => {
  complaint.textContent = "";
  keepDraft();
});

why?.addEventListener("input", () => {
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
  const missing = editor.missing ?? (editor.isEmpty ? `${words.act} something first.` : "");
  if (missing) {
    complaint.textContent = missing;
    editor.focus();
    return;
  }
  if (label === null) {
    complaint.textContent = labels.missing;
    labels.focus();
    return;
  }
  const explanation = why?.value.trim();
  if (page.explanation.required && explanation === "") {
    complaint.textContent = `Answer “${page.explanation.question}” before you send it.`;
    why?.focus();
    return;
  }
  const clientId = newUuid();
  outbox.put({
    clientId,
    input: editor.toInput(),
    label,
    explanation,
    given: contexts?.given,
    made: editor.snapshot(),
    madeAt: Date.now(),
  });
  showSending(clientId);
  channel.flush();
}

/** @param {string} clientId */
function showSending(clientId) {
  current = clientId;
  setBusy(true);
  verdict.sending(editor.preview());
  setTimeout(() => explainWait(clientId), channel.state === "waiting" ? 0 : PATIENCE_MS);
}

/** @param {string} clientId */
function explainWait(clientId) {
  if (current !== clientId || !outbox.get(clientId) || outbox.get(clientId)?.refusal) return;
  verdict.delayed(`It is sent by itself when the connection is back. You can go on ${words.acting}.`);
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
    editor.read?.(result.prediction);
    contexts?.tried();
    editor.submitted?.();
    shelf.remove("draft");
  } else {
    showToast(`An earlier ${words.thing} was sent${result.fooled ? ": you fooled it" : ""}.`);
  }
});

channel.addEventListener("refused", (event) => {
  if (!(event instanceof CustomEvent)) return;
  const { client_id: clientId, code, message, fields } = event.detail;
  if (clientId === current) {
    outbox.remove(clientId); // it is still in the editor
    editor.refused?.(code);
    if (code === "explanation_due") verdict.owed(fields.example, message);
    else verdict.refused(message);
    announce(message);
  }
  showOutbox();
});

channel.addEventListener("delayed", (event) => {
  if (!(event instanceof CustomEvent) || event.detail.client_id !== current) return;
  const seconds = Math.max(1, Math.round(event.detail.inMs / 1000));
  const why = event.detail.message ?? "The server is busy.";
  verdict.delayed(`${why} It is sent by itself in ${seconds} s. You can go on ${words.acting}.`);
});

verdict.addEventListener("next", () => {
  begin();
  leaveVerdict();
  if (contexts) void another(false);
});

/** @param {boolean} skip the present one */
async function another(skip) {
  await contexts?.next({ skip });
  editor.focus();
}

if (contexts) part("another", HTMLButtonElement).addEventListener("click", () => another(true));

verdict.addEventListener("edit", () => {
  leaveVerdict();
  keepDraft();
  predictAnew();
});

/** Begin anew. */
function begin() {
  editor.reset();
  labels.choose(contexts?.given?.goal ?? null);
  if (why) why.value = "";
  shelf.remove("draft");
}

contexts?.addEventListener("given", () => {
  editor.about?.(contexts.given?.data ?? null);
  begin();
});

/** While a verdict lies over the editor, neither can be pressed. @param {boolean} busy */
function setBusy(busy) {
  form.inert = editor.inert = busy;
}

function leaveVerdict() {
  current = null;
  setBusy(false);
  verdict.close();
  editor.focus();
}

// --- what stays after a reload --------------------------------------------------------------------
function keepDraft() {
  if (editor.isEmpty && labels.chosen === null && !why?.value) {
    shelf.remove("draft");
    return;
  }
  const made = editor.snapshot();
  shelf.set("draft", { made, label: labels.chosen, why: why?.value, given: contexts?.given });
}

async function restoreDraft() {
  const draft = shelf.get("draft");
  if (contexts && draft?.given) {
    contexts.take(draft.given);
    shelf.set("draft", draft); // taking it begins anew, and what follows may wait for the connection
  } else if (contexts) return contexts.next();
  if (!draft) return;
  await editor.load(draft.made);
  labels.choose(draft.label ?? null);
  if (why) why.value = draft.why ?? "";
  // Submitted before the reload and not answered: it is sent again, and its verdict shown.
  const sent = outbox.waiting().find(({ made }) => same(made, draft.made));
  if (sent) showSending(sent.clientId);
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Tell about what was refused while something else was made. */
function showOutbox() {
  const refused = outbox.refused().filter(({ clientId }) => clientId !== current);
  const box = part("refused", HTMLElement);
  box.hidden = refused.length === 0;
  const [first] = refused;
  if (!first) return;
  part("refused-words", HTMLElement).textContent =
    `A ${words.thing} you called ${labels.nameOf(first.label)} was not taken: ${first.refusal}`;
}

part("refused-back", HTMLButtonElement).addEventListener("click", async () => {
  const [first] = outbox.refused();
  if (!first) return;
  if (verdict.isOpen) leaveVerdict();
  outbox.remove(first.clientId);
  if (first.given) contexts?.take(first.given);
  labels.choose(first.label);
  if (why) why.value = first.explanation ?? "";
  await editor.load(first.made);
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
  rest:
    page.claim === null
      ? "Live connection not possible here: the bars move a little later, all else works."
      : "Live connection not possible here: answers come whole, all else works.",
  waiting: `Connection lost. Go on ${words.acting}: what you submit is kept here and sent when it is back.`,
  stranger: `You are not signed in as before: reload this page. Your ${words.thing} stays on this device.`,
  gone: `This task is not open to you any more. Your ${words.thing} stays on this device.`,
};

channel.addEventListener("state", () => {
  const sentence = CONNECTION_WORDS[channel.state];
  part("connection-words", HTMLElement).textContent = sentence;
  connection.hidden = sentence === "";
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
  document.querySelector("[data-part=rules]")?.remove(); // they were the last round's
  const now =
    page.claim === null
      ? "the model learned from the confirmed foolings. Go on, it is the new one that reads now."
      : "begin a new chat, with its model. The one you have can be submitted for an hour.";
  part("news-words", HTMLElement).textContent = `Round ${event.detail.round} has begun: ${now}`;
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
  if (document.querySelector("dialog[open]") || verdict.isOpen) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    submit();
  }
  const inText = event.target instanceof Element && event.target.closest("textarea, input[type=text]");
  if (inText || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!labels.press(keysOf(event))) return;
  announce(labels.chosen === null ? "You say nothing yet" : `You say ${labels.nameOf(labels.chosen)}`);
});

await restoreDraft();
if (page.due && !verdict.isOpen) {
  setBusy(true);
  verdict.owed(page.due.example, page.due.message);
}
if (begun) editor.focus();
showOutbox();
channel.start();
