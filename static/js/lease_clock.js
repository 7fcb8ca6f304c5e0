const LAST_MINUTE_S = 60;

/**
 * Shows how long an item is still ours. Only a hint: the server decides by its own clock, from
 * which this browser's may differ.
 *
 * Event: "over".
 */
export class LeaseClock extends EventTarget {
  #bar;
  #words;
  #leaseSeconds;
  #skewMs;
  #until = 0;
  #timer = 0;

  /**
   * @param {HTMLProgressElement} bar
   * @param {HTMLElement} words
   * @param {{ leaseSeconds: number, serverNow: string }} options
   */
  constructor(bar, words, { leaseSeconds, serverNow }) {
    super();
    this.#bar = bar;
    this.#words = words;
    this.#leaseSeconds = leaseSeconds;
    this.#skewMs = Date.parse(serverNow) - Date.now();
  }

  /**
   * @param {string} expiresAt by the server's clock, of a lease that it granted just now
   * @returns {number} the same instant by this device's clock
   */
  localTime(expiresAt) {
    const until = Date.parse(expiresAt) - this.#skewMs;
    // What was leased just now has not run out: this device's clock was set, or it slept.
    return until > Date.now() ? until : Date.now() + this.#leaseSeconds * 1000;
  }

  /** @param {number} until by this device's clock */
  start(until) {
    this.stop();
    this.#until = until;
    this.#timer = setInterval(() => this.#tick(), 1000);
    this.#tick();
  }

  stop() {
    clearInterval(this.#timer);
    this.#words.textContent = "";
  }

  #tick() {
    const left = Math.max(0, (this.#until - Date.now()) / 1000);
    this.#bar.value = Math.min(1, left / this.#leaseSeconds);
    this.#words.textContent = left <= LAST_MINUTE_S ? `${Math.ceil(left)} s left` : "";
    if (left > 0) return;
    this.stop();
    this.dispatchEvent(new Event("over"));
  }
}
