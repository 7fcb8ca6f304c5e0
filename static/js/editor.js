/**
 * What an annotator makes something with: the class `Editor` of the module that a kind of input brings
 * along, made with `{ shelf, channel, rest, slug }`: what it wants to remember, and ways to the server. It
 * finds its own elements, which stand in the kind's `editor.html`.
 *
 * Events: "change" when what is made has changed, also on the way; "rest" when it came to rest; "submit"
 * when a key says so; "say" with words for screen readers as `detail`; "complain" with a sentence; "outcome"
 * with the label that the task's rule found, or null.
 *
 * @typedef {EventTarget & EditorParts} Editor
 * @typedef {object} EditorParts
 * @property {boolean} isEmpty
 * @property {boolean} inert whether it cannot be used: a verdict lies over it
 * @property {() => unknown} toInput the input as it travels to the server
 * @property {() => unknown} snapshot JSON that holds all of it, for `load`
 * @property {(snapshot?: any) => Promise<void> | void} load takes up what was made, also before a reload
 * @property {() => void} reset begin anew
 * @property {() => void} focus
 * @property {() => HTMLElement} preview what a verdict shows of it
 * @property {string} [missing] a sentence where it cannot be submitted yet
 * @property {() => void} [submitted] what was made is an example by now
 * @property {(code: string) => void} [refused] the server did not take it, and why
 * @property {(data: unknown) => void} [about] show what a context says; null: there is none
 * @property {(prediction: unknown) => void} [read] show where the model finds its answer
 * @property {import("./labels.js").Labels} [answers] where an answer is given, if it is no label
 *
 * @typedef {{ act: string, acting: string, thing: string, alterIt: string, alterThis: string, reads: string,
 *   wasRight: string }} Words
 *   of the task's kind: write, writing, text, …
 */
export {};
