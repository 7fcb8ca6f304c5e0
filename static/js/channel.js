import { Unreachable } from "./rest.js";
import { Retry, troubleOf } from "./retry.js";
import { ReconnectingSocket } from "./socket.js";

const PREDICT_EVERY_MS = 50; // at most 20 a second over the websocket
const PREDICT_EVERY_REST_MS = 300;
const FAILURES_BEFORE_REST = 2;
const TRANSIENT = new Set([
  "busy",
  "late",
  "model_unavailable",
  "prediction_failed",
  "submission_failed",
  "too_many_requests",
]);
const FIRST_RETRY_MS = 2_000;

/** @typedef {{ input: unknown, context?: string }} Asked the context by its id */

/**
 * The talk with the server about one task: over the websocket, and over REST where there is none.
 *
 * Nothing that was submitted is given up: it is sent again, under its UUID, until it is answered.
 *
 * Events, each with a `detail`:
 * - "state" `"connecting" | "live" | "rest" | "waiting" | "stranger" | "gone"`
 * - "ready" the frame
 * - "prediction" the answer to the newest input
 * - "unreadable" `{ message }`: the newest input could not be read
 * - "accepted" `{ client_id, label, … }`, once for each submission
 * - "refused" `{ client_id, code, message, fields? }`: final, the person must change something
 * - "delayed" `{ client_id, inMs, message? }`: the submission is sent again by itself
 * - "again": the server was too busy to predict; ask again with the newest input
 * - "round" `{ round, model }`
 * - "asked", "piece", "turn" frames about a chat, and "unsaid" an error about one
 * - "problem" `{ message }`: anything else that the server complains about
 */
export class TaskChannel extends EventTarget {
  /** @type {"connecting" | "live" | "rest" | "waiting" | "stranger" | "gone"} */
  state = "connecting";

  #slug;
  #person;
  #rest;
  #socket;
  #outbox;
  /** Submissions sent on the present connection and not answered yet. @type {Set<string>} */
  #underWay = new Set();
  /** Submissions that the server had no time for. @type {Map<string, Retry>} */
  #delayed = new Map();

  /** What to predict next. @type {Asked | null} */
  #next = null;
  #seq = 0;
  #newestShown = 0;
  #forgotten = 0;
  #predictTimer = 0;
  #quietUntil = 0;
  #lastPredictAt = 0;
  #restPredicting = false;

  /**
   * @param {object} options
   * @param {string} options.slug
   * @param {string} options.person whose submissions these are
   * @param {string} options.socketUrl
   * @param {import("./rest.js").Rest} options.rest
   * @param {import("./outbox.js").Outbox} options.outbox
   */
  constructor({ slug, person, socketUrl, rest, outbox }) {
    super();
    this.#slug = slug;
    this.#person = person;
    this.#rest = rest;
    this.#outbox = outbox;
    this.#socket = new ReconnectingSocket(socketUrl);
    this.#socket.addEventListener("frame", (event) => {
      if (event instanceof CustomEvent) this.#receive(event.detail);
    });
    this.#socket.addEventListener("down", (event) => {
      if (event instanceof CustomEvent) this.#lost(event.detail);
    });
  }

  start() {
    this.#socket.connect();
  }

  /** @param {object} frame of a kind's own @returns {boolean} whether there was a socket for it */
  send(frame) {
    return this.state === "live" && this.#socket.send(frame);
  }

  /**
   * Ask what the model reads, soon: of what comes in a moment only the newest is sent.
   *
   * @param {Asked} asked
   */
  predict(asked) {
    this.#next = asked;
    this.#schedulePredict();
  }

  /** Whether the newest input that was asked about has been answered. */
  get isUpToDate() {
    return this.#next === null && this.#newestShown === this.#seq;
  }

  /** Show no answer to what was asked so far: there is nothing now. */
  forget() {
    this.#next = null;
    this.#forgotten = this.#seq;
  }

  /** Send what waits in the outbox and is not under way. */
  flush() {
    for (const { clientId } of this.#outbox.waiting()) this.#send(clientId);
  }

  // --- predictions ------------------------------------------------------------------------------
  #schedulePredict() {
    if (this.#predictTimer || !this.#next) return;
    const every = this.state === "rest" ? PREDICT_EVERY_REST_MS : PREDICT_EVERY_MS;
    const due = Math.max(this.#lastPredictAt + every, this.#quietUntil);
    this.#predictTimer = setTimeout(
      () => {
        this.#predictTimer = 0;
        this.#predictNow();
      },
      Math.max(0, due - performance.now()),
    );
  }

  #predictNow() {
    const asked = this.#next;
    if (!asked) return;
    if (this.state === "live") {
      const seq = this.#seq + 1;
      if (!this.#socket.send({ type: "predict", seq, ...asked })) return; // sent after the reconnect
      this.#seq = seq;
    } else if (this.state === "rest" && !this.#restPredicting) {
      this.#seq += 1;
      void this.#predictOverRest(this.#seq, asked);
    } else {
      return; // kept in #next until there is a connection, or the call under way is back
    }
    this.#lastPredictAt = performance.now();
    this.#next = null;
  }

  /**
   * @param {number} seq
   * @param {Asked} asked
   */
  async #predictOverRest(seq, asked) {
    this.#restPredicting = true;
    try {
      const answer = await this.#rest.post(`tasks/${this.#slug}/predictions/`, asked);
      this.#answered({ ...answer, seq });
    } catch (error) {
      if (error instanceof Unreachable) this.#enter("waiting");
      else this.#predictRefused({ ...errorDetail(error), seq });
    } finally {
      this.#restPredicting = false;
      this.#schedulePredict();
    }
  }

  /** @param {{ seq: number }} answer */
  #answered(answer) {
    if (answer.seq <= this.#newestShown || answer.seq <= this.#forgotten) return;
    this.#newestShown = answer.seq;
    this.#tell("prediction", answer);
  }

  /** @param {{ seq: number, code: string, message: string, retry_ms?: number }} refusal */
  #predictRefused(refusal) {
    if (refusal.code === "busy") this.#wait(refusal.retry_ms ?? FIRST_RETRY_MS);
    else if (refusal.seq < this.#seq || refusal.seq <= this.#forgotten) return;
    else {
      this.#tell("unreadable", refusal);
      if (TRANSIENT.has(refusal.code)) this.#wait(refusal.retry_ms ?? FIRST_RETRY_MS);
    }
  }

  // --- submissions ------------------------------------------------------------------------------
  /** @param {string} clientId */
  #send(clientId) {
    const submission = this.#outbox.get(clientId);
    if (!submission || submission.refusal !== undefined || this.#underWay.has(clientId)) return;
    const { input, label, explanation, given } = submission;
    const body = { client_id: clientId, input, label, explanation, context: given?.context };
    if (this.state === "live") {
      if (this.#socket.send({ type: "submit", ...body })) this.#underWay.add(clientId);
    } else if (this.state === "rest") {
      this.#underWay.add(clientId);
      void this.#sendOverRest(clientId, body);
    }
  }

  /**
   * @param {string} clientId
   * @param {object} body
   */
  async #sendOverRest(clientId, body) {
    try {
      const answer = await this.#rest.post(`tasks/${this.#slug}/examples/`, body);
      this.#accepted({ ...answer, client_id: clientId });
    } catch (error) {
      this.#underWay.delete(clientId);
      if (error instanceof Unreachable) this.#enter("waiting");
      else this.#submissionFailed({ ...errorDetail(error), client_id: clientId });
    }
  }

  /** @param {{ client_id: string }} answer */
  #accepted(answer) {
    this.#underWay.delete(answer.client_id);
    this.#delayed.get(answer.client_id)?.succeeded();
    this.#delayed.delete(answer.client_id);
    const label = this.#outbox.get(answer.client_id)?.label;
    if (label === undefined) return; // answered before: it was sent by two tabs, or twice
    this.#outbox.remove(answer.client_id);
    this.#tell("accepted", { ...answer, label });
  }

  /** @param {{ client_id: string, code: string, message: string, retry_ms?: number }} failure */
  #submissionFailed(failure) {
    this.#underWay.delete(failure.client_id);
    if (TRANSIENT.has(failure.code)) {
      const id = failure.client_id;
      const retry = this.#delayed.get(id) ?? new Retry(() => this.#send(id), FIRST_RETRY_MS);
      this.#delayed.set(id, retry);
      this.#tell("delayed", { ...failure, inMs: retry.later(failure.retry_ms) });
      return;
    }
    const submission = this.#outbox.get(failure.client_id);
    if (submission) this.#outbox.put({ ...submission, refusal: failure.message });
    this.#tell("refused", failure);
  }

  // --- the connection ---------------------------------------------------------------------------
  /** @param {any} frame */
  #receive(frame) {
    switch (frame.type) {
      case "ready":
        // Somebody else has signed in meanwhile, or nobody: what is here is not theirs to submit.
        if (frame.person && frame.person !== this.#person) this.#enter("stranger");
        else if (!frame.person && !this.#person.startsWith("guest-")) this.#enter("stranger");
        else {
          this.#tell("ready", frame);
          this.#enter("live");
        }
        break;
      case "prediction":
        this.#answered(frame);
        break;
      case "accepted":
        this.#accepted(frame);
        break;
      case "busy":
        if (frame.chat) this.#tell("unsaid", { ...frame, code: "busy" });
        else if (frame.client_id) this.#submissionFailed({ ...frame, code: "busy" });
        else this.#wait(frame.retry_ms);
        break;
      case "error":
        if (frame.chat) this.#tell("unsaid", frame);
        else if (frame.client_id) this.#submissionFailed(frame);
        else if (frame.seq !== undefined) this.#predictRefused(frame);
        else this.#tell("problem", frame);
        break;
      case "round_changed":
        this.#tell("round", frame);
        break;
      default:
        this.#tell(frame.type, frame);
    }
  }

  /** @param {number} retryMs */
  #wait(retryMs) {
    this.#quietUntil = performance.now() + retryMs;
    this.#tell("again", {});
  }

  /** @param {{ failures: number, final: boolean, swallowed: boolean }} loss */
  async #lost({ failures, final, swallowed }) {
    if (this.state === "live") this.#underWay.clear();
    if (final) {
      this.#enter("gone");
      return;
    }
    if (this.state === "rest") return;
    this.#enter("waiting");
    if (failures < FAILURES_BEFORE_REST && !swallowed) return;
    try {
      await this.#rest.get(`tasks/${this.#slug}/`);
    } catch {
      return; // not reachable at all: the socket's next try comes back here
    }
    if (!this.#socket.isOpen) this.#enter("rest");
  }

  /** @param {TaskChannel["state"]} state */
  #enter(state) {
    if (this.state !== state) {
      this.state = state;
      this.#tell("state", state);
    }
    if (state === "live" || state === "rest") {
      this.flush();
      this.#schedulePredict();
    }
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/**
 * @param {any} error
 * @returns {{ code: string, message: string, fields?: Record<string, string>, retry_ms?: number }}
 */
function errorDetail(error) {
  return {
    code: troubleOf(error) ? "busy" : (error.code ?? "error"),
    message: error.message,
    fields: error.fields,
    retry_ms: error.retryMs,
  };
}
