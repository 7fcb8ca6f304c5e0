/** What every page has: menus that close by themselves, tabs, dialogs that buttons open, local times. */

for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.removeAttribute("open");
  });
  menu.addEventListener("keydown", (event) => {
    if (!(event instanceof KeyboardEvent) || event.key !== "Escape") return;
    menu.removeAttribute("open");
    menu.querySelector("summary")?.focus();
  });
}

// On a phone an owner's tabs are wider than the screen: the one we are on is to be seen.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// <button data-opens="dialog-id"> and, inside a dialog, <button data-closes>.
document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  const opener = event.target.closest("[data-opens]");
  if (opener instanceof HTMLElement) {
    const dialog = document.getElementById(opener.dataset.opens ?? "");
    if (dialog instanceof HTMLDialogElement) dialog.showModal();
  }
  if (event.target.closest("[data-closes]")) event.target.closest("dialog")?.close();
});

// A filter applies when it is changed; without scripts its form has a button.
for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
  form.querySelector("[data-submit-fallback]")?.setAttribute("hidden", "");
  form.addEventListener("change", () => form instanceof HTMLFormElement && form.requestSubmit());
}

// Days are the reader's own: the server has to know where they begin.
if (document.querySelector("[data-days-by-calendar]")) {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  document.cookie = `zone=${timeZone};path=/;max-age=31536000;samesite=lax`;
}

// What follows by itself stays as open as its reader has left it.
const opened = /** @type {Set<string>} */ (new Set());
document.addEventListener("htmx:beforeSwap", () => {
  for (const details of document.querySelectorAll("details[id]")) {
    if (details.hasAttribute("open")) opened.add(details.id);
    else opened.delete(details.id);
  }
});
document.addEventListener("htmx:afterSwap", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
});

const inWords = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[data-local]")) {
  if (time instanceof HTMLTimeElement) time.textContent = inWords.format(new Date(time.dateTime));
}
