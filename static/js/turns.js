import { Ballots } from "./ballots.js";
import { RestError, STALE } from "./rest.js";
import { persist } from "./retry.js";

/** A refusal with 409 that takes no item from us. */
const TOO_MANY_SKIPS = "too_many_skips";
/** An item that has less time than this left is not worth beginning. */
const TOO_LATE_MS = 3_000;
/** Whoever signs in again may send what was refused with these. */
const SIGNED_OUT = new Set(["not_authenticated", STALE]);

/**
 * @typedef {import("./choices.js").Held} Held
 * @typedef {import("./judging_words.js").Answer} Answer
 * @typedef {import("./ballots.js").Ballot} Ballot
 */

/**
 * What one validator holds: the item on the screen, the one after it under a lease of its own, and
 * the answers on their way. An answer shows the next item at once and travels behind it; one that
 * does not arrive brings its item back. Where the server gives no second item, each answer is
 * waited for.
 *
 * Calls that change the queue go out one after another, so that none overtakes an answer.
 *
 * Events, each a CustomEvent:
 *   "show"      { item, answer, open }  to be judged, or (not open) answered and waited for
 *   "ahead"     { item }                to be shown next
 *   "empty"     { progress? }           nothing is left to show
 *   "arrived"   { ballot, progress? }   the server has an answer
 *   "feedback"  { ballot, feedback }    the answer was one of the first, and this is how it was
 *   "lost"      { sentence }            the item on the screen is no longer ours
 *   "refused"   { sentence, code }      the server did not want what was asked last
 *   "trouble"   { trouble, what }       null: all is well again
 *   "undone"    { progress? }
 */
export class Turns extends EventTarget {
  /** What is on the screen. @type {Held | null} */
  item = null;
  /** Whether the item on the screen can no longer be answered. */
  lost = false;
  /** @type {Held | null} */
  #ahead = null;
  /** @type {Ballot | null} */
  #sending = null;
  /** The last answer given to an example, to be marked should it come back. @type {Map<string, Answer>} */
  #given = new Map();
  /** The leases of the answers that the server has, last one last. @type {string[]} */
  #counted = [];
  #undoing = false;
  #reading = false;
  #away = false;
  /** @type {Promise<unknown>} */
  #line = Promise.resolve();
  #rest;
  #queue;
  #ballots;
  #localTime;
  #oneByOne;

  /**
   * @param {object} options
   * @param {import("./rest.js").Rest} options.rest
   * @param {string} options.slug
   * @param {import("./storage.js").Shelf} options.shelf keeps answers until the server has them
   * @param {(expiresAt: string) => number} options.localTime
   * @param {boolean} options.oneByOne each answer is waited for: there is something to be said on it
   */
  constructor({ rest, slug, shelf, localTime, oneByOne }) {
    super();
    this.#rest = rest;
    this.#queue = `tasks/${slug}/validations`;
    this.#ballots = new Ballots(shelf);
    this.#localTime = localTime;
    this.#oneByOne = oneByOne;
  }

  /** Whether the item on the screen waits for an answer. */
  get open() {
    const { item } = this;
    return item !== null && !this.lost && !this.#undoing && !this.#reading && !this.#ballots.for(item);
  }

  /** @returns {Held[]} what is leased to us and unanswered, what is on the screen first */
  get held() {
    const items = [this.lost ? null : this.item, this.#ahead];
    return items.filter((item) => item !== null).filter((item) => !this.#ballots.for(item));
  }

  /** Send what an earlier visit left unsent, then ask for an item. */
  begin() {
    this.#away = false;
    for (const ballot of this.#ballots.takeUp()) this.#inTurn(() => this.#deliver(ballot));
    this.#inTurn(() => this.#fetchFirst());
  }

  /**
   * @param {Answer} answer to the item on the screen
   * @returns {boolean} false when it waits for none
   */
  answer(answer) {
    const { item } = this;
    if (!item || !this.open) return false;
    const ballot = this.#ballots.add(item, answer);
    this.#given.set(item.example, answer);
    this.#inTurn(() => this.#deliver(ballot));
    if (!this.#goOn()) this.#show();
    return true;
  }

  /** Take the last answer back: one that has not gone out, else the last that the server has. */
  undo() {
    if (this.#undoing || this.#reading) return;
    const { last } = this.#ballots;
    if (last && last !== this.#sending && last.item && last.item === this.item) {
      this.#ballots.drop(last);
      this.#show();
      this.#tell("undone", {});
      return;
    }
    this.#undoing = true;
    this.#inTurn(async () => {
      try {
        const answer = this.#counted.at(-1); // named, so that a repeated call takes no other one back
        const { progress, ...again } = await this.#persist(
          () => this.#rest.post(`${this.#queue}/undo/${answer ? `?answer=${answer}` : ""}`),
          "undo",
        );
        this.#counted.pop();
        this.#undoing = false;
        this.#ahead = null; // the server took back what else we held
        this.#put(this.#adopt(again));
        this.#tell("undone", { progress });
        this.#fetchAhead();
      } catch (error) {
        this.#undoing = false;
        this.#refuse(error);
      }
    });
  }

  /** After feedback that is to be read: show the next item. */
  readOn() {
    if (!this.#reading) return;
    this.#reading = false;
    if (!this.#goOn()) this.#inTurn(() => this.#fetchFirst(true));
  }

  /** After a loss: the same item if it is still to be had, else the next one. */
  regain() {
    if (!this.lost) return;
    this.#inTurn(async () => {
      const before = this.item;
      if (!this.lost || !before) return;
      this.#dropLateAhead();
      try {
        const next = await this.#next(this.#ahead?.lease);
        if (next?.example === before.example || !this.#ahead) {
          if (next) this.#put(next);
          else this.#nothing();
        } else {
          this.#put(this.#ahead);
          this.#ahead = null;
          if (next) this.#hold(next);
        }
        this.#fetchAhead();
      } catch (error) {
        this.#refuse(error);
      }
    });
  }

  /**
   * @param {Held} item whose lease is over, as we were told or as its time says
   * @param {string} sentence
   */
  lose(item, sentence) {
    if (item === this.#ahead) {
      this.#ahead = null;
      this.#fetchAhead();
    } else if (item === this.item && !this.lost && !this.#ballots.for(item)) {
      this.lost = true;
      this.#tell("lost", { sentence });
    }
  }

  /** Others need not wait for what we will not answer; an answer on its way keeps its lease. */
  leave() {
    for (const item of [this.item, this.#ahead]) {
      if (item && !this.#ballots.for(item)) this.#release(item.lease);
    }
    this.item = this.#ahead = null;
    this.lost = this.#reading = false;
    this.#away = true;
  }

  // --- one call after another ---------------------------------------------------------------------
  /** @param {() => Promise<void>} call that catches what it can be refused */
  #inTurn(call) {
    this.#line = this.#line.then(call);
  }

  /**
   * @template T
   * @param {() => Promise<T>} call
   * @param {"answer" | "undo" | "next"} what
   * @param {() => void} [onTrouble]
   * @returns {Promise<T>}
   */
  #persist(call, what, onTrouble) {
    return persist(call, (trouble) => {
      if (trouble) onTrouble?.();
      this.#tell("trouble", { trouble, what });
    });
  }

  /**
   * @param {string} [after] the lease of the item that it is to follow
   * @returns {Promise<(Held & { progress: any }) | null>}
   */
  async #next(after) {
    const next = await this.#persist(() => this.#ask(after), "next");
    return next && this.#adopt(next);
  }

  /** @param {string} [after] */
  #ask(after) {
    return this.#rest.post(`${this.#queue}/next/${after ? `?after=${after}` : ""}`);
  }

  /** @param {boolean} [instead] of what is on the screen */
  async #fetchFirst(instead = false) {
    if (this.#away || (this.item && !instead)) return;
    try {
      const next = await this.#next();
      if (this.#away) return next ? this.#release(next.lease) : undefined;
      if (next) this.#put(next, next.progress);
      else this.#nothing();
      this.#fetchAhead();
    } catch (error) {
      this.item = null;
      this.#refuse(error);
    }
  }

  /** Have the next item ready; tried once, since the next answer brings one too. */
  #fetchAhead() {
    this.#inTurn(async () => {
      const { item } = this;
      if (!item || this.lost || this.#ahead || this.#oneByOne || !this.#ballots.none) return;
      const next = await this.#ask(item.lease).catch(() => null);
      if (!next || next.lease === item.lease) return;
      if (this.#away || this.item !== item) this.#release(next.lease);
      else this.#hold(this.#adopt(next));
      if (this.item && this.#ballots.for(this.item)) this.#goOn();
    });
  }

  /** @param {Ballot} ballot */
  async #deliver(ballot) {
    if (!this.#ballots.has(ballot)) return; // taken back meanwhile
    this.#sending = ballot;
    try {
      const { next, progress, feedback } = await this.#persist(
        () => this.#send(ballot),
        "answer",
        () => ballot.item && this.#bringBack(ballot.item),
      );
      this.#ballots.drop(ballot);
      if (!("skip" in ballot.answer)) this.#counted.push(ballot.lease);
      this.#tell("arrived", { ballot, progress });
      this.#follow(ballot, next && this.#adopt(next), progress, feedback);
    } catch (error) {
      this.#giveUp(ballot, error);
    } finally {
      this.#sending = null;
    }
  }

  /**
   * @param {Ballot} ballot
   * @returns {Promise<{ next: any, progress?: any, feedback?: any }>} safe to repeat: under one
   *   lease an answer counts once
   */
  async #send({ lease, answer }) {
    const other = [this.lost ? null : this.item, this.#ahead].find((held) => held && held.lease !== lease);
    if (!("skip" in answer)) {
      const after = other ? `?after=${other.lease}` : "";
      return this.#rest.post(`validations/${lease}/vote/${after}`, answer, { outlive: true });
    }
    await this.#rest.post(`validations/${lease}/release/`, answer, { outlive: true });
    const next = await this.#ask(other?.lease);
    return { next, progress: next?.progress };
  }

  /**
   * Go on after an answer that the server has.
   *
   * @param {Ballot} ballot
   * @param {Held | null} next
   * @param {any} progress
   * @param {any} feedback
   */
  #follow(ballot, next, progress, feedback) {
    if (this.#away) {
      if (next) this.#release(next.lease);
      return;
    }
    if (this.#ahead?.lease === ballot.lease) this.#ahead = null;
    const known = [this.item, this.#ahead].some((held) => held?.lease === next?.lease);
    if (next && !known) this.#hold(next);
    if (feedback && ballot.item) {
      this.#oneByOne = feedback.qualification.seen < feedback.qualification.items;
      this.#reading = !feedback.right || !this.#oneByOne;
      this.#tell("feedback", { ballot, feedback });
      if (this.#reading) return;
    }
    const onScreen = this.item;
    if (!onScreen || onScreen.lease === ballot.lease) {
      if (!this.#goOn()) this.#nothing(progress);
    } else if (this.#ballots.for(onScreen)) {
      this.#goOn();
    }
    this.#fetchAhead();
  }

  /**
   * @param {Ballot} ballot that the server refused
   * @param {unknown} error
   */
  #giveUp(ballot, error) {
    const signedOut = error instanceof RestError && SIGNED_OUT.has(error.code);
    if (signedOut) this.#ballots.leave(ballot);
    else this.#ballots.drop(ballot);
    if (ballot.item) {
      this.#bringBack(ballot.item);
      const lost = error instanceof RestError && error.status === 409 && error.code !== TOO_MANY_SKIPS;
      if (lost) this.lose(ballot.item, error.message);
      else this.#refuse(error);
    } else if (!signedOut) {
      this.#tell("refused", { code: "late" });
    }
  }

  // --- what is on the screen ----------------------------------------------------------------------
  /** Show the item that is ready, if there is one. @returns {boolean} */
  #goOn() {
    this.#dropLateAhead();
    if (!this.#ahead) return false;
    const next = this.#ahead;
    this.#ahead = null;
    this.#put(next);
    return true;
  }

  /** @param {Held} next */
  #hold(next) {
    this.#ahead = next;
    this.#tell("ahead", { item: next });
  }

  #dropLateAhead() {
    if (this.#ahead && this.#ahead.until < Date.now() + TOO_LATE_MS) this.#ahead = null;
  }

  /**
   * @param {Held} item
   * @param {any} [progress]
   */
  #put(item, progress) {
    this.item = item;
    this.lost = this.#reading = false;
    this.#show(progress);
  }

  /** @param {any} [progress] */
  #show(progress) {
    const { item } = this;
    if (!item) return;
    const ballot = this.#ballots.for(item);
    const answer = ballot?.answer ?? this.#given.get(item.example) ?? null;
    this.#tell("show", { item, answer, open: !ballot, progress });
  }

  /** @param {Held} item whose answer does not get through; what came after it is next again */
  #bringBack(item) {
    if (this.item?.lease === item.lease || this.#away) return;
    const after = this.lost ? null : this.item;
    if (after) this.#ahead = after;
    else if (this.#ahead?.lease === item.lease) this.#ahead = null;
    this.#put(item);
  }

  /** @param {any} [progress] */
  #nothing(progress) {
    this.item = null;
    this.lost = this.#reading = false;
    this.#tell("empty", { progress });
  }

  /** @param {unknown} error */
  #refuse(error) {
    const known = error instanceof RestError;
    this.#tell("refused", {
      sentence: known ? error.message : String(error),
      code: known ? error.code : "error",
    });
    if (this.item) this.#show();
  }

  // --- small things -------------------------------------------------------------------------------
  /** @param {any} item as the server leased it just now */
  #adopt(item) {
    return { ...item, until: this.#localTime(item.expires_at) };
  }

  /** @param {string} lease given back even while the page goes away */
  #release(lease) {
    void this.#rest.post(`validations/${lease}/release/`, {}, { outlive: true }).catch(() => {});
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
