import { passHeaders, TIMEOUT_MS } from "./pass.js";

/** The code of a refusal: the page was made for a session that is over, or before one. */
export const STALE = "page_out_of_date";

/** The server said no: `code` for programs, `message` is a sentence for people. */
export class RestError extends Error {
  /**
   * @param {number} status
   * @param {{ code?: string, message?: string, fields?: Record<string, string>, retry_ms?: number }} error
   * @param {number | undefined} retryMs
   */
  constructor(status, error, retryMs) {
    super(error.message ?? "The server could not do that.");
    this.status = status;
    this.code = error.code ?? "error";
    this.fields = error.fields ?? {};
    this.retryMs = error.retry_ms ?? retryMs;
  }
}

/** The server could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached.");
  }
}

/**
 * Take the token that this page would get now, after somebody signed out and in again in another tab.
 *
 * @param {{ person: string, csrfToken: string }} page what the server wrote into it
 * @returns {Promise<boolean>} false when it would be another person's page
 */
export async function renewToken(page) {
  const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
  const now = new DOMParser().parseFromString((await answer?.text()) ?? "", "text/html");
  const { person, csrfToken } = JSON.parse(now.getElementById("page-data")?.textContent ?? "{}");
  if (person !== page.person) return false;
  page.csrfToken = csrfToken;
  return true;
}

/**
 * Calls of the REST API with the session of the page.
 *
 * @param {{ api: string, person: string, csrfToken: string }} page what the server wrote into it;
 *   `api` is the address of the API with a slash at its end
 * @param {number} [timeoutMs]
 */
export function createRest(page, timeoutMs = TIMEOUT_MS) {
  /**
   * @param {string} method
   * @param {string} path relative to the root
   * @param {unknown} [body]
   * @param {{ outlive?: boolean, again?: boolean }} [options] outlive: it goes out though the page
   *   is being left; again: with a token that was just renewed
   * @returns {Promise<any>} the answer's JSON, null when it has none
   * @throws {RestError | Unreachable}
   */
  async function call(method, path, body, { outlive = false, again = false } = {}) {
    let response;
    try {
      response = await fetch(page.api + path, {
        method,
        credentials: "same-origin",
        headers: {
          Accept: "application/json",
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(method === "GET" ? {} : { "X-CSRFToken": page.csrfToken }),
          ...passHeaders(),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        keepalive: outlive,
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch {
      throw new Unreachable();
    }
    const answer = await response.json().catch(() => null);
    if (response.ok) return answer;
    if (answer?.error?.code === STALE && !again && (await renewToken(page))) {
      return call(method, path, body, { outlive, again: true });
    }
    const seconds = Number(response.headers.get("Retry-After"));
    throw new RestError(response.status, answer?.error ?? {}, seconds ? seconds * 1000 : undefined);
  }

  return {
    /** @param {string} path */
    get: (path) => call("GET", path),
    /**
     * @param {string} path
     * @param {unknown} [body]
     * @param {{ outlive?: boolean }} [options]
     */
    post: (path, body, options) => call("POST", path, body ?? {}, options),
  };
}

/** @typedef {ReturnType<typeof createRest>} Rest */
