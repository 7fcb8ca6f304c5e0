/** The owner's inbox: one case after the other decided by keys, or several at once. */
import { keysOf } from "./keys.js";
import { renewToken, STALE } from "./rest.js";
import { Shelf } from "./storage.js";
import { showToast } from "./toast.js";

const KEPT_REASONS = 12;

/**
 * @typedef {object} Page what the server wrote into the page
 * @property {string} slug
 * @property {string} person
 * @property {string} decide
 * @property {string} takeBack
 * @property {string} csrfToken
 */
/** @type {Page} */
const page = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");
const shelf = new Shelf(`dadc:inbox:${page.slug}`);

/**
 * @typedef {{ done: string[], refused: { id: string, message: string }[] }} Outcome
 * @typedef {{ card: HTMLElement, before: Element | null }} Place where a card was
 */

/** @param {HTMLFormElement} form */
function adjudication(form) {
  const cases = part(form, "cases", HTMLElement);
  const reason = form.elements.namedItem("reason");
  const skip = part(form, "skip", HTMLButtonElement);
  const undo = part(form, "undo", HTMLButtonElement);
  const scope = part(form, "scope", HTMLElement);
  const empty = part(document, "empty", HTMLElement);
  if (!(reason instanceof HTMLInputElement)) throw new Error("The page asks for no reason.");

  /** @type {HTMLElement | null} */
  let current = null;
  /** What the last decisions took away, newest last. @type {Place[][]} */
  const taken = [];
  let busy = false;

  // --- which cases ------------------------------------------------------------------------------
  const cards = () =>
    /** @type {HTMLElement[]} */ ([...cases.children].filter((card) => card instanceof HTMLElement));

  /** @param {HTMLElement} card */
  const box = (card) => {
    const input = card.querySelector("input[name=example]");
    if (!(input instanceof HTMLInputElement)) throw new Error("A case cannot be chosen.");
    return input;
  };

  /** The chosen cases, or the one that is looked at. */
  function meant() {
    const chosen = cards().filter((card) => box(card).checked);
    return chosen.length > 0 ? chosen : current ? [current] : [];
  }

  /**
   * @param {HTMLElement | null | undefined} card
   * @param {{ focus?: boolean }} [options]
   */
  function lookAt(card, { focus = true } = {}) {
    current?.removeAttribute("aria-current");
    current = card ?? null;
    if (current) {
      current.setAttribute("aria-current", "true");
      if (focus) {
        current.focus({ preventScroll: true });
        current.scrollIntoView({ block: "nearest" });
      }
      void showSimilar(current);
    }
    tellScope();
  }

  function tellScope() {
    const count = meant().length;
    const chosen = cards().some((card) => box(card).checked);
    scope.textContent = chosen
      ? `Your decision is for the ${count === 1 ? "one" : count} that you chose.`
      : "Your decision is for the marked one.";
  }

  /** @param {HTMLElement} card */
  async function showSimilar(card) {
    const address = card.dataset.similar;
    if (!address) return;
    delete card.dataset.similar;
    const target = part(card, "similar", HTMLElement);
    const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
    if (!answer?.ok) {
      card.dataset.similar = address;
      return;
    }
    target.replaceChildren(document.createRange().createContextualFragment(await answer.text()));
  }

  // --- acts -------------------------------------------------------------------------------------
  /**
   * @param {string} address
   * @param {HTMLElement[]} about
   * @param {Record<string, string>} fields
   * @param {boolean} [again] with a token that was just renewed
   * @returns {Promise<Outcome | null>} null when nothing was done, and the page has said why
   */
  async function send(address, about, fields, again = false) {
    const body = new URLSearchParams(fields);
    for (const card of about) body.append("example", card.dataset.case ?? "");
    busy = true;
    try {
      const answer = await fetch(address, {
        method: "POST",
        credentials: "same-origin",
        headers: { Accept: "application/json", "X-CSRFToken": page.csrfToken },
        body,
      });
      const outcome = await answer.json().catch(() => ({}));
      if (answer.ok) return outcome;
      if (outcome.error?.code === STALE && !again && (await renewToken(page))) {
        return await send(address, about, fields, true);
      }
      showToast(outcome.error?.message ?? "The server could not do that. Load the page again.");
    } catch {
      showToast("No connection: nothing was decided. Try again.");
    } finally {
      busy = false;
    }
    return null;
  }

  /** @param {HTMLButtonElement} button */
  async function act(button) {
    const about = meant();
    if (busy || about.length === 0) return;
    if (!reason.value.trim()) {
      showToast("Say why first: the reason is kept with the decision.");
      reason.focus();
      return;
    }
    const outcome = await send(page.decide, about, { act: button.value, reason: reason.value });
    if (!outcome) return;
    remember(reason.value.trim());
    const gone = new Set([...outcome.done, ...outcome.refused.map(({ id }) => id)]);
    const places = about
      .filter((card) => gone.has(card.dataset.case ?? ""))
      .map((card) => ({ card, before: card.nextElementSibling }));
    const next = following(about);
    for (const { card } of places) card.remove();
    const done = places.filter(({ card }) => outcome.done.includes(card.dataset.case ?? ""));
    if (done.length > 0) taken.push(done);
    const name = button.firstChild?.textContent?.trim() ?? "Decided";
    const words = { verify: "Verified", reject: "Rejected", hide: "Hidden" }[button.value];
    const sentence = `${words ?? `Relabelled as ${name}`}${done.length > 1 ? `: ${done.length}` : ""}.`;
    if (outcome.refused.length > 0) showToast(outcome.refused[0].message);
    else showToast(sentence, { action: { label: "Undo", run: () => void takeBack() } });
    settle(next);
  }

  /** @param {HTMLElement[]} about */
  function following(about) {
    const all = cards();
    const last = all.indexOf(about[about.length - 1]);
    const rest = [...all.slice(last + 1), ...all.slice(0, last + 1)];
    return rest.find((card) => !about.includes(card));
  }

  /** @param {HTMLElement | null | undefined} next */
  function settle(next) {
    const left = cards().length;
    form.hidden = left === 0;
    empty.hidden = left > 0;
    undo.disabled = taken.length === 0;
    lookAt(next ?? cards()[0]);
  }

  async function takeBack() {
    const last = taken.at(-1);
    if (busy || !last) return;
    const outcome = await send(page.takeBack, last.map(({ card }) => card), { reason: "Taken back" });
    if (!outcome) return;
    taken.pop();
    // The last one first: each may have stood before the one that follows it.
    for (const { card, before } of [...last].reverse()) {
      if (!outcome.done.includes(card.dataset.case ?? "")) continue;
      cases.insertBefore(card, before?.parentElement === cases ? before : null);
      box(card).checked = false;
    }
    showToast(outcome.refused.length > 0 ? outcome.refused[0].message : "Taken back.");
    settle(last.find(({ card }) => card.isConnected)?.card);
  }

  function pass() {
    if (!current) return;
    lookAt(following([current]) ?? current);
  }

  /** @param {number} step */
  function move(step) {
    const all = cards();
    const place = current ? all.indexOf(current) + step : 0;
    lookAt(all[Math.min(Math.max(place, 0), all.length - 1)]);
  }

  // --- reasons ----------------------------------------------------------------------------------
  /** @param {string} words */
  function remember(words) {
    const known = [words, ...keptReasons().filter((other) => other !== words)];
    shelf.set("reasons", known.slice(0, KEPT_REASONS));
    offerReasons();
  }

  /** @returns {string[]} */
  function keptReasons() {
    return shelf.get("reasons") ?? [];
  }

  function offerReasons() {
    const list = document.getElementById("reasons");
    if (!list) return;
    const offered = new Set([...list.children].map((option) => option.getAttribute("value")));
    for (const words of keptReasons()) {
      if (offered.has(words)) continue;
      const option = document.createElement("option");
      option.value = words;
      list.prepend(option);
    }
  }

  // --- hands ------------------------------------------------------------------------------------
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter instanceof HTMLButtonElement) void act(event.submitter);
  });
  cases.addEventListener("focusin", (event) => {
    const card = event.target instanceof Element ? event.target.closest("[data-case]") : null;
    if (card instanceof HTMLElement && card !== current) lookAt(card, { focus: false });
  });
  cases.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const card = target?.closest("[data-case]");
    if (card instanceof HTMLElement && !target?.closest("label, input")) lookAt(card);
  });
  cases.addEventListener("change", tellScope);
  skip.addEventListener("click", pass);
  undo.addEventListener("click", () => void takeBack());
  reason.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // else the first button would decide
    (current ?? cards()[0])?.focus();
  });

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || busy) return;
    const target = event.target;
    const typing =
      target instanceof HTMLTextAreaElement ||
      target instanceof HTMLSelectElement ||
      (target instanceof HTMLInputElement && target.type !== "checkbox");
    if (typing) return;
    const key = keysOf(event).at(-1) ?? "";
    const button = form.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (key === "x" && current) choose([current], !box(current).checked);
    else if (key === "a") choose(cards(), cards().some((card) => !box(card).checked));
    else if (key === "u") void takeBack(); // also when nothing is left to decide
    else if (button instanceof HTMLButtonElement && !form.hidden) button.click();
    else return;
    event.preventDefault();
  });

  /**
   * @param {HTMLElement[]} which
   * @param {boolean} checked
   */
  function choose(which, checked) {
    for (const card of which) box(card).checked = checked;
    tellScope();
  }

  reason.required = false; // the page says it itself, in the words that fit
  skip.hidden = undo.hidden = false;
  offerReasons();
  reason.value = keptReasons()[0] ?? "";
  lookAt(cards()[0], { focus: false });
}

/**
 * @template {HTMLElement} T
 * @param {ParentNode} root
 * @param {string} name
 * @param {new () => T} type
 * @returns {T}
 */
function part(root, name, type) {
  const element = root.querySelector(`[data-part="${name}"]`);
  if (!(element instanceof type)) throw new Error(`The page has no ${name}.`);
  return element;
}

const decisions = document.querySelector("[data-part=decisions]");
if (decisions instanceof HTMLFormElement) adjudication(decisions);
