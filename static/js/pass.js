/**
 * The pass of somebody who came by a link: their calls carry its token, since cookies may be blocked
 * in another site's frame, and each of their sockets a ticket, since a handshake takes no header.
 *
 * @type {{ token: string, ticket: string, api: string, work: string } | null}
 */
export const pass = JSON.parse(document.getElementById("visit-data")?.textContent ?? "null");

/** How long after the page was asked for its own ticket is still good; it is for one socket. */
const FRESH_MS = 45_000;
let ticket = pass?.ticket;

/** How long an answer is waited for. */
export const TIMEOUT_MS = 15_000;

/** @returns {Record<string, string>} */
export function passHeaders() {
  return pass ? { Authorization: `Visit ${pass.token}` } : {};
}

/**
 * @param {string} path below the visit's own address
 * @param {object} [body]
 */
export async function askAboutVisit(path = "", body = {}) {
  const response = await fetch((pass?.api ?? "") + path, {
    method: "POST",
    credentials: "omit",
    headers: { Accept: "application/json", "Content-Type": "application/json", ...passHeaders() },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return { ok: response.ok, answer: await response.json().catch(() => null) };
}

/**
 * @param {string} url of a socket
 * @returns {Promise<string>} the same with a ticket, where somebody came by a link
 */
export async function admitted(url) {
  if (!pass) return url;
  let one = performance.now() < FRESH_MS ? ticket : "";
  ticket = "";
  if (!one) {
    const { ok, answer } = await askAboutVisit("ticket/");
    if (!ok) throw new Error(answer?.error?.message);
    one = answer.ticket;
  }
  return `${url}?ticket=${encodeURIComponent(one)}`;
}
