/** What was said in a chat, as all its readers see it: text, whatever it looks like. */
import { paragraph } from "../../js/texts.js";

/**
 * @param {"user" | "assistant"} role
 * @param {string} content
 * @param {object} [about]
 * @param {string} [about.person] what the one is called who is no model
 * @param {boolean} [about.cut] whether there was no room for more of it
 */
export function message(role, content, { person = "Person", cut = false } = {}) {
  const item = document.createElement("li");
  item.className = `talk__turn talk__turn--${role}`;
  const who = document.createElement("span");
  who.className = "talk__who small soft";
  who.textContent = role === "user" ? person : "Model";
  item.append(who, paragraph(content));
  if (cut) {
    const end = document.createElement("span");
    end.className = "talk__cut small soft";
    end.textContent = "Cut off here: it had no room for more.";
    item.append(end);
  }
  return item;
}

/** Whether an answer ended for want of room. @param {string | null} [reason] why it ended */
export function isCut(reason) {
  return reason === "length" || reason === "max_tokens";
}
