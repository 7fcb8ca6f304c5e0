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
 * Calls of the REST API with the session of the page.
 *
 * @param {{ root: string, csrfToken: string, timeoutMs?: number }} options
 *   `root` is the address of the API with a slash at its end
 */
export function createRest({ root, csrfToken, timeoutMs = 15_000 }) {
  /**
   * @param {string} method
   * @param {string} path relative to the root
   * @param {unknown} [body]
   * @param {{ outlive?: boolean }} [options] outlive: it goes out though the page is being left
   * @returns {Promise<any>} the answer's JSON, null when it has none
   * @throws {RestError | Unreachable}
   */
  async function call(method, path, body, { outlive = false } = {}) {
    let response;
    try {
      response = await fetch(root + path, {
        method,
        credentials: "same-origin",
        headers: {
          Accept: "application/json",
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(method === "GET" ? {} : { "X-CSRFToken": csrfToken }),
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
