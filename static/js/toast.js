/**
 * Say something in passing, read out by screen readers as well.
 *
 * @param {string} text
 * @param {{ action?: { label: string, run: () => void }, seconds?: number }} [options]
 *   One message at a time: a new one takes the place of the last.
 * @returns {() => void} takes the message away
 */
export function showToast(text, { action, seconds = action ? 12 : 5 } = {}) {
  const region = document.getElementById("toasts");
  if (!region) return () => {};
  const toast = document.createElement("div");
  toast.className = "toast";
  const words = document.createElement("p");
  words.textContent = text;
  toast.append(words);
  const dismiss = () => toast.remove();
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn--small";
    button.textContent = action.label;
    button.addEventListener("click", () => {
      dismiss();
      action.run();
    });
    toast.append(button);
  }
  region.replaceChildren(toast);
  setTimeout(dismiss, seconds * 1000);
  return dismiss;
}
