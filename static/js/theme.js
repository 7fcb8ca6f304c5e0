/**
 * Light or dark: the system decides until the reader does. A classic script in <head>, so that the
 * chosen theme is set before the first paint.
 */
(() => {
  const KEY = "dadc-theme";
  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

  /** @returns {string | null} */
  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is shut in this browser: the system decides
    }
  }

  const current = () => root.dataset.theme ?? (systemIsDark.matches ? "dark" : "light");

  /** @param {HTMLElement} button */
  function describe(button) {
    const other = current() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    button.title = `Switch to the ${other} theme`;
  }

  const chosen = stored();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    if (!(button instanceof HTMLElement)) return;
    describe(button);
    systemIsDark.addEventListener("change", () => describe(button));
    button.addEventListener("click", () => {
      root.dataset.theme = current() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // Not remembered then; the page still changes.
      }
      describe(button);
      document.dispatchEvent(new CustomEvent("themechange"));
    });
  });
})();
