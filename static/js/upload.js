/** Sends a model's file in pieces before its form, for a request holds a few MiB. */
import { createRest, RestError, Unreachable } from "./rest.js";

const PIECE = 2 * 1024 * 1024;
const TRIES = 6;
const TIMEOUT_MS = 60_000;

/** @type {{ slug: string, api: string, person: string, csrfToken: string }} */
const page = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");
const rest = createRest(page, TIMEOUT_MS);

/** @param {Blob} blob */
function asBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",")[1] ?? ""));
    reader.addEventListener("error", () => reject(new Unreachable()));
    reader.readAsDataURL(blob);
  });
}

/**
 * @param {File} file
 * @param {string} upload
 * @param {(sent: number) => void} told after each piece
 */
async function send(file, upload, told) {
  let offset = 0;
  let failures = 0;
  while (offset < file.size) {
    const piece = await asBase64(file.slice(offset, offset + PIECE));
    try {
      const body = { upload, offset, piece };
      ({ received: offset } = await rest.post(`tasks/${page.slug}/models/uploads/`, body));
      failures = 0;
      told(offset);
    } catch (error) {
      const passes = error instanceof Unreachable || (error instanceof RestError && error.retryMs);
      failures += 1;
      if (!passes || failures === TRIES) throw error;
      const asked = error instanceof RestError ? error.retryMs : undefined;
      await new Promise((resolve) => setTimeout(resolve, asked ?? 500 * 2 ** failures));
    }
  }
}

const form = document.querySelector("form[data-part=register]");
const progress = form?.querySelector("[data-part=progress]");
const button = form?.querySelector("button[type=submit]");
if (form instanceof HTMLFormElement && progress && button instanceof HTMLButtonElement) {
  const content = form.elements.namedItem("content");
  const upload = form.elements.namedItem("upload");
  form.addEventListener("submit", async (event) => {
    if (!(content instanceof HTMLInputElement) || !(upload instanceof HTMLInputElement)) return;
    const file = content.files?.[0];
    if (!file) return;
    event.preventDefault();
    button.disabled = true;
    const name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("");
    try {
      await send(file, name, (sent) => {
        progress.textContent = `${Math.floor((100 * sent) / file.size)} % sent`;
      });
      upload.value = name;
      content.value = "";
      progress.textContent = "Sent. It is tried now.";
      form.submit();
    } catch (error) {
      progress.textContent = error instanceof Error ? error.message : "It could not be sent.";
      button.disabled = false;
    }
  });
}
