"""Words that two texts share: the baseline of pairs and of questions about a passage.

It knows no grammar and is easily fooled, which its page says; it needs no download.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import exp
from typing import Any, Final

from kinds import Prepared
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Source
from ml.why import Why, by_omission

NAMES_LABELS = True
LABELS: Final = ("entailment", "neutral", "contradiction")
WEAK: Final = "A weak baseline: it compares words, and reads no sentence."

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE: Final = re.compile(r"[^.!?]+[.!?]*")
_NOT: Final = {
    "not",
    "no",
    "never",
    "nobody",
    "nothing",
    "none",
    "nowhere",
    "without",
    "neither",
    "nor",
}
_SMALL_WORDS: Final = """
a an and are as at be been but by can could did do does for from had has have he her him his how i
if in into is it its may of on or our she so some than that the their them there they this to was
we were what when where which who whom whose why will with would you your
"""
_SMALL: Final = frozenset(_SMALL_WORDS.split())
_PLACE_AFTER: Final = {"in", "at", "on", "to", "from", "near", "into", "by"}
_TIMES: Final = re.compile(
    r"(?i:monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|june|july"
    r"|august|september|october|november|december|morning|evening|noon|night|today|yesterday|tomorrow"
    r"|spring|summer|autumn|winter|o'clock)|\d+"
)
_NUMBERS: Final = re.compile(
    r"(?i:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred"
    r"|thousand|half|both|many|few)|\d+"
)


class PairOverlap:
    """Follows where all words stand in the text, conflicts where one of both denies, or neither."""

    labels = LABELS
    remarks = (WEAK, "Words of two letters or fewer and the likes of 'the' do not count.")

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._answer(one.features) for one in inputs]

    def why(self, one: Prepared, label: str) -> Why:
        """Which of its words spoke for this label."""
        return by_omission(self, one, label)

    def _answer(self, pair: Any) -> Answer:
        if not isinstance(pair, dict) or "hypothesis" not in pair:
            raise ValueError("it reads pairs of texts")
        given, said = (_words(pair[field]) for field in ("context", "hypothesis"))
        content = [
            word for word in said if word not in _SMALL and word not in _NOT and len(word) > 2
        ]
        stems = {_stem(word) for word in given}
        new = [word for word in content if _stem(word) not in stems]
        share = 1 - len(new) / max(len(content), 1)
        length = sum(map(len, new))  # the more is said that is not there, the less it follows
        denies = _denies(said) != _denies(given)
        odds = {
            "entailment": 4 * share - 2 - 0.01 * length - 3 * denies,
            "neutral": 1 - 2 * share + 0.02 * length,
            "contradiction": -1 + 3 * denies,
        }
        total = sum(exp(odd) for odd in odds.values())
        shares = {label: round(exp(odds[label]) / total, 6) for label in LABELS}
        return Answer(max(LABELS, key=lambda label: shares[label]), shares)


class PassageOverlap:
    """From the sentence that shares most words with the question, what fits its first word."""

    labels = ()
    remarks = (WEAK, "It gives no probabilities.")

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [Answer(_found(one.features)) for one in inputs]


def _found(content: Any) -> dict[str, Any]:
    passage, question = content["context"], content["question"]
    asked = {_stem(word) for word in _words(question)}
    best = max(
        _SENTENCE.finditer(passage),
        key=lambda one: len({_stem(word) for word in _words(one[0])} & asked - _SMALL),
        default=None,
    )
    if best is None:
        return {"text": passage, "start": 0}
    tokens = list(_WORD.finditer(passage, best.start(), best.end()))
    runs = [run for run in _runs(tokens, asked) if run] or [[token] for token in tokens]
    if not runs:
        return {"text": passage, "start": 0}
    chosen = max(runs, key=lambda run: _fits(run, tokens, question.lower()))
    start, end = chosen[0].start(), chosen[-1].end()
    return {"text": passage[start:end], "start": start}


def _runs(tokens: Sequence[re.Match[str]], asked: set[str]) -> list[list[re.Match[str]]]:
    """Words beside each other that the question does not have and that mean something."""
    runs: list[list[re.Match[str]]] = [[]]
    for token in tokens:
        word = token[0].lower()
        if word in _SMALL or _stem(word) in asked:
            runs.append([])
        else:
            runs[-1].append(token)
    return runs


def _fits(
    run: Sequence[re.Match[str]], tokens: Sequence[re.Match[str]], question: str
) -> tuple[float, int]:
    """How well a run answers the question's kind; then the longer one, the earlier at a tie."""
    first = tokens.index(run[0])
    before = tokens[first - 1][0].lower() if first else ""
    text = " ".join(token[0] for token in run)
    named = all(token[0][0].isupper() for token in run) and before not in _PLACE_AFTER
    fits = 0.0
    if re.search(r"\bwho(m|se)?\b", question):
        fits = 2.0 * named
    elif re.search(r"\bwhere\b", question):
        fits = 2.0 * (before in _PLACE_AFTER) + run[0][0][0].isupper()
    elif re.search(r"\bwhen\b|\bwhat (time|day|year|month)\b|\bwhich (day|year|month)\b", question):
        fits = 2.0 * bool(_TIMES.search(text))
    elif re.search(r"\bhow (many|much|long|old|far|often)\b", question):
        fits = 2.0 * bool(_NUMBERS.search(text))
    return fits, len(run)


def _words(text: str) -> list[str]:
    return [found[0].lower().replace("’", "'") for found in _WORD.finditer(text)]


def _stem(word: str) -> str:
    """Without the commonest endings, so that closes is close and walked is walk."""
    for ending in ("'s", "ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _denies(words: Sequence[str]) -> bool:
    return any(word in _NOT or word.endswith("n't") for word in words)


def load(source: Source) -> Backend:
    """Of passages where answers are free, of pairs where the labels are those of inference."""
    if source.config.get("kind"):
        if source.config["kind"] != "passage_qa":
            raise ArtifactError("Word overlap answers pairs of texts and questions about passages.")
        return PassageOverlap()
    return PairOverlap()
