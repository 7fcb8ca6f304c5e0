/** What the validator's page says about what somebody did and about what is left to do. */

/** @typedef {{ votes: number, today: number, waiting: number, skipped: number }} Progress */
/** @typedef {{ label: string | string[] } | { flag: string, reason?: string }} Answer */

/**
 * @param {Progress} progress
 * @returns {{ title: string, words: string }}
 */
export function emptyInWords({ waiting, skipped, votes }) {
  if (waiting > 0) {
    const what = waiting === 1 ? "The one that waits is" : `The ${waiting} that wait are`;
    return { title: "Others are on it", words: `${what} with other validators right now.` };
  }
  if (skipped > 0) {
    const them = skipped === 1 ? "the one" : `the ${skipped}`;
    return { title: "Only skipped ones are left", words: `Nothing waits for you but ${them} you skipped.` };
  }
  if (votes > 0) {
    return { title: "All done", words: "You have answered everything that waits. Thank you." };
  }
  return { title: "Nothing waits right now", words: "When somebody fools the model, it comes here." };
}

/**
 * @param {Answer} answer
 * @param {{ value: string, name: string }[]} choices
 */
export function answerInWords(answer, choices) {
  if ("flag" in answer) {
    return answer.flag === "unsure" ? "You could not tell." : "You flagged it.";
  }
  const names = [answer.label].flat().map((label) => {
    return choices.find(({ value }) => value === label)?.name ?? label;
  });
  return `You said ${names.join(", ") || "none of them"}.`;
}
