import { admitted } from "./pass.js";
import { Retry } from "./retry.js";

/** A fault that no reconnecting mends: the task is not there (any more). */
const FINAL_CODES = new Set([4404]);

/** WebSocket.OPEN, which cannot be asked for where there are no websockets. */
const OPEN = 1;

/** Also of a proxy that swallows the handshake and never says so. */
const SILENCE_MS = 8_000;

/**
 * A websocket of JSON frames that comes back by itself.
 *
 * Events: "open"; "frame" with the parsed frame as `detail`; "down" after every loss and every failed
 * try, with `{ failures, final, swallowed }`; swallowed: nothing at all came back.
 */
export class ReconnectingSocket extends EventTarget {
  #url;
  /** @type {WebSocket | null} */
  #socket = null;
  #failures = 0;
  #retry = new Retry(() => this.connect());
  #silenceTimer = 0;
  #stopped = false;
  #heard = false;

  /** @param {string} url absolute, ws: or wss: */
  constructor(url) {
    super();
    this.#url = url;
  }

  get isOpen() {
    return this.#socket?.readyState === OPEN;
  }

  async connect() {
    let socket;
    try {
      socket = new WebSocket(await admitted(this.#url));
    } catch {
      this.#lost(0); // no ticket, no websockets in this browser, or the page's policy forbids them
      return;
    }
    this.#socket = socket;
    this.#heard = false;
    this.#silenceTimer = setTimeout(() => this.#replace(), SILENCE_MS);
    socket.addEventListener("open", () => this.dispatchEvent(new Event("open")));
    socket.addEventListener("message", (event) => {
      clearTimeout(this.#silenceTimer);
      this.#silenceTimer = 0;
      this.#heard = true;
      const frame = JSON.parse(event.data);
      // Whom the server turns away at the door it tells why; that is no success.
      if (frame.type !== "error") {
        this.#failures = 0;
        this.#retry.succeeded();
      }
      this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    });
    socket.addEventListener("close", (event) => {
      if (this.#socket === socket) this.#lost(event.code);
    });
  }

  /**
   * Send a frame that the server answers. A connection that stays silent for 8 s after it is dead
   * even if the browser has not noticed (a phone that changed networks), and is replaced.
   *
   * @param {object} frame
   * @returns {boolean} whether there was a connection to send it on
   */
  send(frame) {
    if (!this.isOpen) return false;
    this.#socket?.send(JSON.stringify(frame));
    if (!this.#silenceTimer) {
      this.#silenceTimer = setTimeout(() => this.#replace(), SILENCE_MS);
    }
    return true;
  }

  #replace() {
    const socket = this.#socket;
    this.#socket = null; // its close event, which may come late, is of no interest any more
    socket?.close();
    this.#lost(0, !this.#heard);
  }

  /**
   * @param {number} code
   * @param {boolean} [swallowed]
   */
  #lost(code, swallowed = false) {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = 0;
    this.#socket = null;
    this.#stopped = FINAL_CODES.has(code);
    this.#failures += 1;
    if (!this.#stopped) this.#retry.later();
    const detail = { failures: this.#failures, final: this.#stopped, swallowed };
    this.dispatchEvent(new CustomEvent("down", { detail }));
  }
}

/**
 * @param {string} path
 * @returns {string} the websocket address of a path on this server
 */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
