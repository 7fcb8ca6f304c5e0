/**
 * One chat with the model. The server holds it; this asks for its turns, one after the other, until
 * each is answered: a turn that came to nothing is asked again under its number, which the server
 * answers once.
 *
 * Events: "change" when something is otherwise; "answered" with what the model said; "unsaid" with what
 * the person said and the server does not take.
 */
import { Unreachable } from "../../js/rest.js";
import { persist, Retry } from "../../js/retry.js";
import { isCut } from "./messages.js";

const AGAIN = new Set([
  "busy",
  "late",
  "model_unavailable",
  "too_many_requests",
  "turn_failed",
  "turn_under_way",
]);
// What another page of theirs did to this chat: it is looked at again.
const STALE = new Set(["turn_taken", "bad_turn", "chat_submitted"]);
const FIRST_RETRY_MS = 1_000;

/**
 * @typedef {{ said: string, content: string, cut: boolean }} Turn what the person said, and the model
 * @typedef {{ turn: number, content: string }} Asking
 */
export class Talk extends EventTarget {
  /** @type {string | null} its id */
  id = null;
  /** @type {Turn[]} */
  turns = [];
  /** What waits for its answer. @type {Asking | null} */
  asking = null;
  /** What is looked up at the server. @type {{ id: string, asking: Asking | null } | null} */
  comingBack = null;
  /** What came of the answer so far. */
  heard = "";
  /** Why the model has not answered yet, or will not. */
  trouble = "";
  /** @type {string | null} by the task's rule, if it has one */
  outcome = null;
  /** @type {number | null} */
  turnsLeft = null;
  /** Whether it may go on. */
  isOpen = true;
  /** Whether it may be submitted, also when it goes no further. */
  isSubmittable = true;

  #channel;
  #rest;
  #slug;
  #retry = new Retry(() => this.#ask(), FIRST_RETRY_MS);
  #underWay = false;

  /**
   * @param {object} page
   * @param {import("../../js/channel.js").TaskChannel} page.channel
   * @param {import("../../js/rest.js").Rest} page.rest
   * @param {string} page.slug
   */
  constructor({ channel, rest, slug }) {
    super();
    this.#channel = channel;
    this.#rest = rest;
    this.#slug = slug;
    this.#on("asked", () => this.#hear(""));
    this.#on("piece", ({ text }) => this.#hear(this.heard + text));
    this.#on("turn", (turn) => this.#answered(turn));
    this.#on("unsaid", (failure) => this.#failed(failure));
    channel.addEventListener("round", () => {
      this.isOpen = this.id === null;
      this.#tell("change");
    });
    channel.addEventListener("state", () => {
      this.#underWay = false; // what was asked on another connection is asked again on this one
      if (this.asking) void this.#ask();
    });
  }

  /** @param {string} content */
  say(content) {
    this.asking = { turn: this.turns.length + 1, content };
    this.trouble = "";
    this.#hear("");
    void this.#ask();
  }

  /** Begin another one. */
  leave() {
    this.id = this.asking = this.comingBack = this.outcome = this.turnsLeft = null;
    this.turns = [];
    this.heard = this.trouble = "";
    this.isOpen = this.isSubmittable = true;
    this.#tell("change");
  }

  /**
   * Take up one that was begun before.
   *
   * @param {string} id
   * @param {Asking | null} asking
   * @param {string} [news] said once it is there
   */
  async take(id, asking, news = "") {
    this.leave();
    const wanted = (this.comingBack = { id, asking }); // until it is there nothing else is known of it
    let chat;
    try {
      chat = await persist(
        () => this.#rest.get(`chats/${id}/`),
        (trouble) => {
          if (this.comingBack !== wanted) return;
          this.trouble = trouble ? "No connection: your chat comes back with it." : "";
          this.#tell("change");
        },
      );
    } catch {
      if (this.comingBack === wanted) this.leave(); // it is not this person's any more
      return;
    }
    if (this.comingBack !== wanted) return; // another one was begun meanwhile
    this.comingBack = null;
    this.id = id;
    const answered = chat.turns.filter(({ content }) => content !== null);
    this.turns = answered.map(({ said, content, finish_reason: why }) => ({ said, content, cut: isCut(why) }));
    this.trouble = news;
    this.outcome = chat.outcome;
    this.turnsLeft = chat.turns_left;
    this.isOpen = chat.open;
    this.isSubmittable = chat.submittable;
    this.#tell("change");
    if (asking && asking.turn === this.turns.length + 1 && chat.open) this.say(asking.content);
  }

  async #ask() {
    const { asking } = this;
    if (!asking || this.#underWay) return;
    const { state } = this.#channel;
    if (state !== "live" && state !== "rest") return; // asked when it is
    this.#underWay = true;
    try {
      this.id ??= (await this.#rest.post(`tasks/${this.#slug}/chats/`)).chat;
      if (this.asking !== asking) return;
      const sent = { type: "say", chat: this.id, ...asking };
      if (state === "live" && this.#channel.send(sent)) return;
      this.#answered(await this.#rest.post(`chats/${this.id}/turns/`, asking));
    } catch (error) {
      const code = error instanceof Unreachable ? "busy" : error.code;
      this.#failed({ turn: asking.turn, code, message: error.message, retry_ms: error.retryMs });
    }
  }

  /** @param {{ turn: number, content: string, finish_reason: string | null, turns_left: number, outcome: string | null }} answer */
  #answered({ turn, content, finish_reason: why, turns_left: turnsLeft, outcome }) {
    if (turn !== this.asking?.turn) return; // answered before, on another connection
    this.turns.push({ said: this.asking.content, content, cut: isCut(why) });
    this.asking = null;
    this.heard = this.trouble = "";
    this.outcome = outcome;
    this.turnsLeft = turnsLeft;
    this.#underWay = false;
    this.#retry.succeeded();
    this.#tell("change");
    this.#tell("answered", content);
  }

  /** @param {{ turn: number, code: string, message: string, retry_ms?: number }} failure */
  #failed({ turn, code, message, retry_ms: retryMs }) {
    if (turn !== this.asking?.turn) return;
    this.#underWay = false;
    this.heard = "";
    this.trouble = code === "turn_under_way" || code === "busy" ? "" : message;
    if (AGAIN.has(code)) this.#retry.later(retryMs);
    else {
      const { content } = this.asking;
      this.asking = null;
      if (code === "chat_submitted" || code === "round_changed") this.isOpen = false;
      if (code === "chat_submitted") this.isSubmittable = false;
      this.#tell("unsaid", content);
      if (STALE.has(code)) this.lookAgain();
    }
    this.#tell("change");
  }

  /** Another page of theirs went on with it, or submitted it. */
  lookAgain() {
    if (this.id) void this.take(this.id, null, "It went on in another window: this is how it stands.");
  }

  /** @param {string} heard */
  #hear(heard) {
    this.heard = heard;
    this.#tell("change");
  }

  /**
   * @param {string} name of a frame about this chat
   * @param {(frame: any) => void} then
   */
  #on(name, then) {
    this.#channel.addEventListener(name, (event) => {
      if (event instanceof CustomEvent && event.detail.chat === this.id) then(event.detail);
    });
  }

  /**
   * @param {string} name
   * @param {unknown} [detail]
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
