/** The validator's page: one item at a time, answered by one key, the next one there already. */
import { Desk } from "./desk.js";
import { keepWhileAtWork } from "./heartbeat.js";
import { answerInWords, troubleInWords } from "./judging_words.js";
import { keysOf } from "./keys.js";
import { LeaseClock } from "./lease_clock.js";
import { part } from "./page_parts.js";
import { createRest } from "./rest.js";
import { remindToRest } from "./rest_reminder.js";
import { Shelf } from "./storage.js";
import { showToast } from "./toast.js";
import { Turns } from "./turns.js";

const LOOK_AGAIN_MS = 10_000;
const BOUNCE_MS = 300;
const SCORE_EVERY = 10;
/** Keys that stand for another one. */
const ALIASES = new Map([["backspace", "z"], ["?", "g"]]);

/**
 * @typedef {object} Page what the server wrote into the page
 * @property {string} slug
 * @property {string} person names who judges, in this browser's storage
 * @property {import("./choices.js").Choice | null} none stands for no label, where an answer may be several
 * @property {string} viewer the module that shows the inputs of the task's kind
 * @property {string} api
 * @property {string} csrfToken
 * @property {number} leaseSeconds
 * @property {string} now
 * @property {import("./judging_words.js").Qualification | null} qualification
 * @property {number | null} restMinutes
 */
/** @type {Page} */
const page = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");

const choices = part("choices", HTMLElement);
const written = part("written", HTMLFormElement);
const connection = part("connection", HTMLElement);
const flagDialog = part("flag-dialog", HTMLDialogElement);
const flagForm = part("flag-form", HTMLFormElement);
const guide = part("guide", HTMLDialogElement);

const rest = createRest(page);
const desk = new Desk({ none: page.none, viewer: await import(page.viewer) });
const clock = new LeaseClock(part("time", HTMLProgressElement), part("time-words", HTMLElement), {
  leaseSeconds: page.leaseSeconds,
  serverNow: page.now,
});
/** @param {string} expiresAt */
const localTime = (expiresAt) => clock.localTime(expiresAt);
const turns = new Turns({
  rest,
  slug: page.slug,
  shelf: new Shelf(`dadc:validate:${page.slug}:${page.person}`),
  localTime,
  oneByOne: page.qualification !== null,
});

/** The last answer pressed. @type {{ answer: string, at: number } | null} */
let pressed = null;
let visit = 0;
let lookAgainTimer = 0;
let regaining = "";

// --- what happens to our items --------------------------------------------------------------------
/**
 * @param {string} type
 * @param {(detail: any) => void} listener
 */
function on(type, listener) {
  turns.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
}

on("ahead", ({ item }) => desk.prepare(item));

on("show", ({ item, answer, open, progress }) => {
  clearTimeout(lookAgainTimer);
  desk.show(item, { answer, open });
  if (progress) desk.showProgress(progress);
  if (open) clock.start(item.until);
  else clock.stop();
  if (regaining === item.example) showToast("It is yours again: give your answer once more.");
  regaining = "";
});

on("arrived", ({ ballot, progress }) => {
  desk.say(answerInWords(ballot.answer, ballot.item?.choices ?? []));
  if (!("skip" in ballot.answer)) desk.showVisit((visit += 1));
  if (progress) desk.showProgress(progress);
  if (visit % SCORE_EVERY === 0) void refreshProgress();
});

on("undone", ({ progress }) => {
  desk.say("Taken back: here it is again.");
  if (progress) desk.showProgress(progress);
  if (progress) desk.showVisit((visit = Math.max(0, visit - 1)));
});

on("feedback", ({ ballot, feedback }) => {
  const { seen, items } = feedback.qualification;
  clock.stop();
  desk.showFeedback(feedback, ballot.item, ballot.answer, !feedback.right || seen >= items);
});

on("lost", ({ sentence }) => {
  clock.stop();
  flagDialog.close();
  desk.lose(sentence);
});

on("trouble", ({ trouble, what }) => showConnection(trouble && troubleInWords(trouble, what)));

on("refused", ({ sentence, code }) => {
  if (code === "late") showToast("Your last answer came too late and was not counted.");
  else if (turns.item) showToast(sentence);
  else {
    clock.stop();
    desk.showShut(sentence);
  }
});

on("empty", async ({ progress }) => {
  clock.stop();
  desk.clear();
  clearTimeout(lookAgainTimer);
  lookAgainTimer = setTimeout(lookAgain, LOOK_AGAIN_MS);
  const known = (await refreshProgress()) ?? progress;
  if (known && !turns.item) desk.showEmpty(known);
});

async function refreshProgress() {
  const progress = await rest.get(`tasks/${page.slug}/validations/progress/`).catch(() => null);
  if (progress) desk.showProgress(progress);
  return progress;
}

function lookAgain() {
  if (turns.item) return;
  if (document.visibilityState === "hidden") lookAgainTimer = setTimeout(lookAgain, LOOK_AGAIN_MS);
  else turns.begin();
}

/** @param {string | null} sentence null when all is well */
function showConnection(sentence) {
  part("connection-words", HTMLElement).textContent = sentence ?? "";
  connection.hidden = sentence === null;
}

// --- hands ----------------------------------------------------------------------------------------
/** @param {import("./judging_words.js").Answer} answer */
function answerWith(answer) {
  const now = performance.now();
  const words = JSON.stringify(answer);
  // A key that bounces would answer the next item too, which nobody has seen yet.
  if (pressed && now - pressed.at < BOUNCE_MS && pressed.answer === words) return;
  if (!turns.answer(answer)) return;
  pressed = { answer: words, at: now };
  desk.offerUndo(true);
}

choices.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-label]") : null;
  if (!(button instanceof HTMLElement)) return;
  const label = button.dataset.label ?? "";
  if (!page.none) answerWith({ label });
  else if (turns.open) desk.tick(label);
});

written.addEventListener("submit", (event) => {
  event.preventDefault();
  if (page.none) {
    const { ticked } = desk;
    if (ticked) answerWith({ label: ticked });
    else desk.say("Choose what fits first, or that none does.");
    return;
  }
  const label = desk.answer;
  if (label) answerWith({ label });
});

/**
 * @param {string} name
 * @param {() => void} act
 */
function press(name, act) {
  part(name, HTMLButtonElement).addEventListener("click", act);
}

press("unsure", () => answerWith({ flag: "unsure" }));
press("skip", () => answerWith({ skip: true }));
press("flag", () => turns.open && flagDialog.showModal());
press("undo", () => turns.undo());
press("lost-next", () => {
  regaining = turns.item?.example ?? "";
  turns.regain();
});
press("read-on", () => {
  desk.readOn();
  if (part("training-bar", HTMLProgressElement).position === 1) desk.showTraining(null);
  turns.readOn();
});

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
  const keys = keysOf(event).map((key) => ALIASES.get(key) ?? key);
  if (guide.open) {
    if (keys.includes("g")) guide.close();
    return;
  }
  // A label's own key comes first, should a task have taken one of ours.
  const buttons = keys.flatMap((key) => {
    const named = `[data-key="${CSS.escape(key)}"]`;
    return [...choices.querySelectorAll(named), ...document.querySelectorAll(`.judging ${named}`)];
  });
  const button = buttons.find((one) => !one.closest("[hidden], [inert]"));
  if (!(button instanceof HTMLButtonElement)) return;
  event.preventDefault();
  button.click();
});

// --- time -----------------------------------------------------------------------------------------
clock.addEventListener("over", () => {
  const { item } = turns;
  if (item) turns.lose(item, "Your time for this one ran out, so it may go to somebody else.");
});

keepWhileAtWork({
  rest,
  leaseSeconds: page.leaseSeconds,
  held: () => turns.held,
  localTime,
  extended: (item) => item === turns.item && turns.open && clock.start(item.until),
  lost: (item, sentence) => turns.lose(item, sentence),
});

if (page.restMinutes) {
  const restNotice = part("rest", HTMLElement);
  const reminder = remindToRest(page.restMinutes, () => (restNotice.hidden = false));
  press("rest-not", () => (restNotice.hidden = true));
  for (const name of ["rest-yes", "rest-now"]) {
    press(name, () => {
      restNotice.hidden = true;
      clearTimeout(lookAgainTimer);
      clock.stop();
      turns.leave();
      desk.showResting();
    });
  }
  press("rest-over", () => {
    reminder.restart();
    part("resting", HTMLElement).hidden = true;
    turns.begin();
  });
}

addEventListener("pagehide", () => turns.leave());
addEventListener("pageshow", (event) => {
  if (event.persisted) turns.begin(); // back from the browser's memory, where the leases were given up
});

desk.showTraining(page.qualification);
turns.begin();
