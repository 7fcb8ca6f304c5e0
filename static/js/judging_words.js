/** What the validator's page says about what somebody did and about what is left to do. */

/** @typedef {{ votes: number, today: number, waiting: "none" | "few" | "many", skipped: number }} Progress */
/** @typedef {{ label: string | string[] } | { flag: string, reason?: string } | { skip: true }} Answer */
/** @typedef {{ seen: number, right: number, items: number, needed: number }} Qualification */
/** @typedef {{ answers: number, seen: number, right: number }} Score */
/** @typedef {{ value: string, name: string }[]} Choices */

/**
 * @param {Progress} progress
 * @returns {{ title: string, words: string }}
 */
export function emptyInWords({ waiting, skipped, votes }) {
  if (waiting !== "none") {
    return { title: "Others are on it", words: "What waits is with other validators right now." };
  }
  if (skipped > 0) {
    const them = skipped === 1 ? "the one" : `the ${skipped}`;
    return { title: "Only skipped ones are left", words: `Nothing else waits; of ${them} you skipped, some may.` };
  }
  if (votes > 0) {
    return { title: "All done", words: "You have answered everything that waits. Thank you." };
  }
  return { title: "Nothing waits right now", words: "When somebody fools the model, it comes here." };
}

/**
 * @param {Answer} answer
 * @param {Choices} choices
 */
export function answerInWords(answer, choices) {
  if ("skip" in answer) return "You skipped one.";
  if ("flag" in answer) {
    return answer.flag === "unsure" ? "You could not tell." : "You flagged it.";
  }
  return `You said ${labelInWords(answer.label, choices)}.`;
}

/**
 * @param {string | string[]} label
 * @param {Choices} choices
 */
export function labelInWords(label, choices) {
  const nameOf = (one) => choices.find(({ value }) => value === one)?.name ?? one?.text ?? one;
  const names = [label].flat().map(nameOf);
  return names.join(", ") || "none of them";
}

/** @param {Qualification} qualification */
export function trainingInWords({ seen, right, items, needed }) {
  return `${seen} of ${items} test items, ${right} right, ${needed} needed`;
}

/**
 * @param {{ right: boolean, answer: string | string[], qualification: Qualification & { passed: boolean } }} feedback
 * @param {Choices} choices
 * @returns {{ title: string, words: string }}
 */
export function feedbackInWords({ right, answer, qualification }, choices) {
  const expected = labelInWords(answer, choices);
  const title = right ? `Right: ${expected}` : `It is ${expected}`;
  const { seen, items, passed, needed } = qualification;
  if (seen < items) {
    return { title, words: right ? "" : "Look at it once more, then go on." };
  }
  const came = `You answered ${qualification.right} of ${seen} as expected`;
  if (passed) {
    return { title, words: `${came}, so you are in. From here on every answer counts, and nobody tells you whether it was right.` };
  }
  return { title, words: `${came}; it takes ${needed} to validate here. An owner of the task can let you try again.` };
}

/** @param {Score} score */
export function scoreInWords({ answers, seen, right }) {
  return `Among your first ${answers.toLocaleString("en")} answers were ${seen} whose answer is known. You gave it ${right} times.`;
}

/**
 * @param {"down" | "busy"} trouble
 * @param {"answer" | "undo" | "next"} what had to be sent
 */
export function troubleInWords(trouble, what) {
  const then = {
    answer: "Your answer is kept and sent",
    undo: "Your answer is taken back",
    next: "The next item comes",
  }[what];
  return trouble === "down"
    ? `No connection. ${then} when it is back.`
    : `The server asks for a moment. ${then} when it has one.`;
}
