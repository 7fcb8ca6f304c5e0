/** What was said in a chat, as all its readers see it: text, whatever it looks like. */
import { paragraph } from "../../js/texts.js";

/**
 * @param {"user" | "assistant"} role
 * @param {string} content
 * @param {string} [person] what the one is called who is no model
 */
export function message(role, content, person = "Person") {
  const item = document.createElement("li");
  item.className = `talk__turn talk__turn--${role}`;
  const who = document.createElement("span");
  who.className = "talk__who small soft";
  who.textContent = role === "user" ? person : "Model";
  item.append(who, paragraph(content));
  return item;
}
