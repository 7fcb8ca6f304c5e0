/**
 * What a pressed key may stand for, likeliest first: what the layout makes of it, whatever Caps Lock
 * says, and for those who write in another script (or whose digits need Shift) the key's place.
 *
 * @param {KeyboardEvent} event
 * @returns {string[]} in lower case
 */
export function keysOf(event) {
  const key = event.key.toLowerCase();
  // Where the layout has a Latin letter or a digit of its own, another key's place would be wrong.
  if (key.length !== 1 || /[a-z0-9]/.test(key)) return [key];
  const place = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code)?.[1];
  return place ? [key, place.toLowerCase()] : [key];
}
