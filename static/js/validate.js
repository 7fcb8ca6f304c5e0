/** The validator's page: one item at a time, answered by one key, the next one in the answer. */
import { showChoices, showInput } from "./item.js";
import { answerInWords, emptyInWords } from "./judging_words.js";
import { LeaseClock } from "./lease_clock.js";
import { persist } from "./persist.js";
import { createRest, RestError } from "./rest.js";
import { Shelf } from "./storage.js";
import { showToast } from "./toast.js";

const LOOK_AGAIN_MS = 10_000;
const BOUNCE_MS = 300;

/** @typedef {import("./item.js").Item} Item */
/** @typedef {import("./judging_words.js").Progress} Progress */
/** @typedef {import("./judging_words.js").Answer} Answer */
/** @typedef {{ lease: string, example: string, answer: Answer }} Ballot an answer on its way */

/**
 * @typedef {object} Page what the server wrote into the page
 * @property {string} slug
 * @property {string} person names who judges, in this browser's storage
 * @property {string} kind
 * @property {string} api
 * @property {string} csrfToken
 * @property {number} leaseSeconds
 * @property {string} now
 */
/** @type {Page} */
const page = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");

/**
 * @template {HTMLElement} T
 * @param {string} name
 * @param {new () => T} type
 * @returns {T}
 */
function part(name, type) {
  const element = document.querySelector(`[data-part="${name}"]`);
  if (!(element instanceof type)) throw new Error(`The page has no ${name}.`);
  return element;
}

const desk = part("desk", HTMLElement);
const judged = part("judged", HTMLElement);
const answers = part("answers", HTMLElement);
const choices = part("choices", HTMLElement);
const written = part("written", HTMLFormElement);
const lost = part("lost", HTMLElement);
const connection = part("connection", HTMLElement);
const empty = part("empty", HTMLElement);
const said = part("said", HTMLElement);
const flagDialog = part("flag-dialog", HTMLDialogElement);
const flagForm = part("flag-form", HTMLFormElement);

const rest = createRest({ root: page.api, csrfToken: page.csrfToken });
const shelf = new Shelf(`dadc:validate:${page.slug}:${page.person}`);
const clock = new LeaseClock(part("time", HTMLProgressElement), part("time-words", HTMLElement), {
  leaseSeconds: page.leaseSeconds,
  serverNow: page.now,
});
const severalLabels = page.kind === "text_multilabel";
const queue = `tasks/${page.slug}/validations`;

/** What is on the screen. @type {Item | null} */
let item = null;
/** Whether the item on the screen can still be answered. */
let ours = false;
/** Whether something is on its way to the server. */
let busy = false;
/** The last answer that the server has. @type {(Ballot & { at: number }) | null} */
let last = null;
let lookAgainTimer = 0;

// --- what is on the screen ------------------------------------------------------------------------
/**
 * @param {Item | null} next
 * @param {Progress} [progress]
 */
function arrive(next, progress) {
  busy = false;
  if (progress) showProgress(progress);
  if (next) showItem(next);
  else void showEmpty(progress);
}

/** @param {Item} next */
function showItem(next) {
  const same = item?.example === next.example;
  if (!same) {
    showInput(part("input", HTMLElement), next);
    const keys = showChoices(choices, next.choices);
    part("first-key", HTMLElement).textContent = keys[0] ?? "";
    part("last-key", HTMLElement).textContent = keys.at(-1) ?? "";
    part("label-keys", HTMLElement).hidden = keys.length === 0;
    written.hidden = !severalLabels && next.choices.length > 0;
    written.reset();
    flagForm.reset();
    mark(last?.example === next.example ? last.answer : null);
    desk.classList.remove("judging__desk--new");
    void desk.offsetWidth; // restarts the animation
    desk.classList.add("judging__desk--new");
  }
  if (!empty.hidden) said.textContent = "Here is another one.";
  item = next;
  ours = true;
  clearTimeout(lookAgainTimer);
  lost.hidden = empty.hidden = true;
  judged.hidden = answers.hidden = false;
  desk.removeAttribute("aria-busy");
  judged.classList.remove("judged--lost");
  answers.inert = false;
  clock.start(next.expires_at);
}

/** @param {Progress} [progress] */
async function showEmpty(progress) {
  item = null;
  ours = false;
  clock.stop();
  judged.hidden = answers.hidden = lost.hidden = true;
  desk.removeAttribute("aria-busy");
  clearTimeout(lookAgainTimer);
  lookAgainTimer = setTimeout(() => void lookAgain(), LOOK_AGAIN_MS);
  const known = progress ?? (await rest.get(`${queue}/progress/`).catch(() => undefined));
  if (!known || item) return;
  showProgress(known);
  const { title, words } = emptyInWords(known);
  part("empty-title", HTMLElement).textContent = title;
  part("empty-words", HTMLElement).textContent = words;
  part("look-again", HTMLFormElement).hidden = known.skipped === 0;
  if (!empty.hidden) return;
  empty.hidden = false;
  if (document.activeElement === document.body) part("empty-title", HTMLElement).focus();
}

/** @param {Progress} progress */
function showProgress(progress) {
  for (const element of document.querySelectorAll("[data-progress]")) {
    if (!(element instanceof HTMLElement)) continue;
    const count = progress[/** @type {keyof Progress} */ (element.dataset.progress)];
    element.textContent = count.toLocaleString("en");
  }
  part("undo", HTMLButtonElement).hidden = progress.votes === 0;
}

/** @param {Answer | null} answer marked as the one that was chosen */
function mark(answer) {
  for (const button of document.querySelectorAll(".verdict-desk button[type=button]")) {
    if (!(button instanceof HTMLElement)) continue;
    const chosen =
      answer !== null &&
      ("label" in answer
        ? [answer.label].flat().includes(button.dataset.label ?? "")
        : button.dataset.part === (answer.flag === "unsure" ? "unsure" : "flag"));
    button.classList.toggle("is-chosen", chosen);
    button.setAttribute("aria-pressed", String(chosen));
  }
}

/** @returns {Set<string>} what is marked */
function chosenLabels() {
  const marked = choices.querySelectorAll(".is-chosen");
  return new Set([...marked].map((button) => /** @type {HTMLElement} */ (button).dataset.label ?? ""));
}

/** @param {string} sentence why the item on the screen is no longer ours to answer */
function lose(sentence) {
  busy = false;
  ours = false;
  clock.stop();
  judged.classList.add("judged--lost");
  answers.inert = true;
  said.textContent = "";
  part("lost-words", HTMLElement).textContent = sentence;
  lost.hidden = false;
  flagDialog.close();
  part("lost-next", HTMLButtonElement).focus();
}

// --- calls ----------------------------------------------------------------------------------------
/**
 * @template T
 * @param {() => Promise<T>} call safe to repeat
 * @param {string} meanwhile said while the server cannot be reached
 */
function persistently(call, meanwhile) {
  return persist(call, (trouble) => showConnection(trouble ? meanwhile : null));
}

/** @param {string | null} sentence null when all is well */
function showConnection(sentence) {
  part("connection-words", HTMLElement).textContent = sentence ?? "";
  connection.hidden = sentence === null;
}

async function getNext() {
  if (busy) return;
  busy = true;
  const before = item;
  try {
    const next = await persistently(
      () => rest.post(`${queue}/next/`),
      "No connection. The next item comes when it is back.",
    );
    if (before && next?.example === before.example) {
      showToast("It is yours again: give your answer once more.");
    }
    arrive(next, next?.progress);
  } catch (error) {
    refuse(error);
  }
}

async function lookAgain() {
  if (item || busy) return;
  if (document.visibilityState === "hidden") {
    lookAgainTimer = setTimeout(() => void lookAgain(), LOOK_AGAIN_MS);
    return;
  }
  await getNext();
}

/** @param {Answer} answer */
function answerWith(answer) {
  if (!item || !ours || busy) return;
  const bounced = last && performance.now() - last.at < BOUNCE_MS;
  if (bounced && JSON.stringify(last?.answer) === JSON.stringify(answer)) return;
  mark(answer);
  const ballot = { lease: item.lease, example: item.example, answer };
  shelf.set("ballot", ballot);
  void send(ballot);
}

/** @param {Ballot} ballot sent until the server has it: under one lease it counts once */
async function send(ballot) {
  busy = true;
  clock.stop();
  try {
    const { next, progress } = await persistently(
      () => rest.post(`validations/${ballot.lease}/vote/`, ballot.answer),
      "No connection. Your answer is kept and sent when it is back.",
    );
    shelf.remove("ballot");
    said.textContent = answerInWords(ballot.answer, item?.choices ?? []);
    last = { ...ballot, at: performance.now() };
    arrive(next, progress);
  } catch (error) {
    const signedOut = error instanceof RestError && error.code === "not_authenticated";
    if (!signedOut) shelf.remove("ballot");
    if (error instanceof RestError && error.status === 409 && item) lose(error.message);
    else if (item) refuse(error);
    else {
      // Kept from an earlier visit.
      busy = false;
      if (!signedOut) showToast("Your last answer came too late and was not counted.");
      void getNext();
    }
  }
}

/** @param {unknown} error a refusal; the item stays */
function refuse(error) {
  busy = false;
  const sentence = error instanceof RestError ? error.message : String(error);
  if (item && ours) showToast(sentence);
  else showConnection(sentence);
}

async function skip() {
  if (!item || !ours || busy) return;
  busy = true;
  const { lease } = item;
  try {
    await persistently(
      () => rest.post(`validations/${lease}/release/`, { skip: true }),
      "No connection. It is skipped when it is back.",
    );
    said.textContent = "You skipped one.";
    busy = false;
    await getNext();
  } catch (error) {
    if (error instanceof RestError && error.status === 409) lose(error.message);
    else refuse(error);
  }
}

async function undo() {
  if (busy) return;
  busy = true;
  try {
    const { progress, ...again } = await persistently(
      () => rest.post(`${queue}/undo/`),
      "No connection. Your answer is taken back when it is back.",
    );
    said.textContent = "Taken back: here it is again.";
    arrive(again, progress);
  } catch (error) {
    busy = false;
    if (error instanceof RestError) showToast(error.message);
    else throw error;
  }
}

/** Others need not wait for what we will not answer; a ballot on its way keeps its lease. */
function leave() {
  if (!item || !ours || busy) return;
  void fetch(`${page.api}validations/${item.lease}/release/`, {
    method: "POST",
    keepalive: true,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-CSRFToken": page.csrfToken },
    body: "{}",
  }).catch(() => {});
  ours = false;
}

// --- hands ----------------------------------------------------------------------------------------
function openFlags() {
  if (item && ours && !busy) flagDialog.showModal();
}

choices.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-label]") : null;
  if (!(button instanceof HTMLElement) || !item) return;
  const label = button.dataset.label ?? "";
  if (!severalLabels) answerWith({ label });
  else if (ours && !busy) {
    const chosen = chosenLabels();
    if (!chosen.delete(label)) chosen.add(label);
    mark({ label: [...chosen] });
  }
});

written.addEventListener("submit", (event) => {
  event.preventDefault();
  if (severalLabels) {
    const chosen = chosenLabels(); // sent in the task's order, whatever was pressed first
    answerWith({ label: item?.choices.map(({ value }) => value).filter((v) => chosen.has(v)) ?? [] });
    return;
  }
  const label = String(new FormData(written).get("answer") ?? "").trim();
  if (label) answerWith({ label });
});

part("unsure", HTMLButtonElement).addEventListener("click", () => answerWith({ flag: "unsure" }));
part("skip", HTMLButtonElement).addEventListener("click", () => void skip());
part("flag", HTMLButtonElement).addEventListener("click", openFlags);
part("undo", HTMLButtonElement).addEventListener("click", () => void undo());
part("lost-next", HTMLButtonElement).addEventListener("click", () => void getNext());

flagForm.addEventListener("change", () => {
  const other = new FormData(flagForm).get("flag") === "other";
  part("reason-need", HTMLElement).hidden = other;
  const reason = flagForm.elements.namedItem("reason");
  if (reason instanceof HTMLTextAreaElement) reason.required = other;
});

flagForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new FormData(flagForm);
  flagDialog.close();
  answerWith({ flag: String(fields.get("flag")), reason: String(fields.get("reason") ?? "").trim() });
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || flagDialog.open) return;
  const target = event.target;
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement) return;
  if (event.key === "Enter" && target instanceof HTMLElement && target.closest("button, a, summary")) return;
  const key = event.key === "Backspace" ? "z" : event.key.toLowerCase();
  const named = `[data-key="${CSS.escape(key)}"]`;
  // A label's own key comes first, should a task have taken one of ours.
  const button = choices.querySelector(named) ?? document.querySelector(`.judging ${named}`);
  if (!(button instanceof HTMLButtonElement) || button.closest("[hidden]")) return;
  event.preventDefault();
  button.click();
});

clock.addEventListener("over", () => {
  if (ours && !busy) lose("Your time for this one ran out, so it may go to somebody else.");
});
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => {
  if (event.persisted) void getNext(); // back from the browser's memory, where the lease was given up
});

/** @type {Ballot | undefined} */
const kept = shelf.get("ballot");
if (kept) void send(kept);
else void getNext();
