"""The check before serving: each way to call an honest person a fooler is refused in words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from kinds import Prepared, kind_named
from ml.artifacts import ArtifactError
from ml.backends import Answer, Failed, Sound, Source, open_model
from ml.batcher import Busy
from ml.model_checks import check

PROBES = [kind_named("text").parse(probe) for probe in kind_named("text").probes]
LABELS = ["bad", "good"]


class Model:
    """Answers as it is told; `mend` changes an answer by how many are asked and which loading."""

    labels: tuple[str, ...] = ("bad", "good")
    remarks = ("It is made for this test.",)

    def __init__(self, mend: Any = None, *, loading: int = 0, labels: Any = None) -> None:
        self._mend, self._loading = mend, loading
        self.labels = labels or self.labels

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._one(one, len(inputs)) for one in inputs]

    def _one(self, one: Prepared, company: int) -> Answer:
        share = 0.9 if "wonderful" in one.features["text"] else 0.2
        if self._mend is not None:
            share = self._mend(share, company=company, loading=self._loading)
        shares = dict(zip(self.labels, (round(1 - share, 6), share), strict=True))
        return Answer(max(shares, key=lambda name: shares[name]), shares)


def checked(mend: Any = None, **how: Any) -> dict[str, Any]:
    loadings = itertools.count()
    return check(lambda: Sound(Model(mend, loading=next(loadings), **how)), PROBES, LABELS)


def test_a_sound_model_s_report_says_what_was_looked_at() -> None:
    report = checked()
    assert {name: report[name] for name in ("labels", "probabilities", "tells_probes_apart")} == {
        "labels": LABELS,
        "probabilities": True,
        "tells_probes_apart": True,
    }
    assert (report["company"], report["again"]) == (0, 0)
    assert report["ms"] >= 0
    assert report["per_second"] > 0
    assert report["remarks"] == ["It is made for this test."]


@pytest.mark.parametrize(
    ("mend", "labels", "sentence"),
    [
        # One scale for the whole batch, as of dynamic int8.
        (lambda share, company, loading: share - 1e-5 * (company > 1), None, "others are asked"),
        # A head that no file has.
        (lambda share, company, loading: share - 0.1 * loading, None, "a second time"),
        (lambda share, company, loading: 0.5, None, "alike, to the last digit"),
        (lambda share, company, loading: share + 0.2, None, "not between 0 and 1"),
        (None, ("LABEL_0", "LABEL_1"), "nobody can tell which is which"),
        (None, ("bad", "fine"), "lacks good and has fine"),
        (None, ("bad", "bad"), "have the same name"),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_do(mend: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        checked(mend, labels=labels)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Failed("Too long."), "Too long"),
        (Busy(0, 1000), "raise `per_minute`"),
        (KeyError("context"), "fails on the task's own inputs"),
    ],
)
@pytest.mark.parametrize("in_company", [True, False])
def test_what_it_raises_in_company_or_the_second_time_is_a_refusal(
    error: Exception, sentence: str, in_company: bool
) -> None:
    def mend(share: float, *, company: int, loading: int) -> float:
        if (company > 1) if in_company else loading:
            raise error
        return share

    with pytest.raises(ArtifactError, match=sentence):
        checked(mend)


NAN = float("nan")


@pytest.mark.parametrize(
    ("labels", "label", "shares"),
    [
        (LABELS, "good", {"bad": NAN, "good": NAN}),
        (LABELS, "good", {"bad": -0.1, "good": 1.1}),
        (LABELS, "good", {"bad": 0.5, "good": 0.9}),
        (LABELS, "good", {"bad": 0.9, "good": 0.1}),
        (LABELS, "good", {"good": 1.0}),
        (LABELS, "fine", None),
        (LABELS, None, None),
        (LABELS, ["good"], {"bad": 0.1, "good": NAN}),
        (LABELS, ["fine"], {"bad": 0.1, "good": 0.9}),
        ([], "", None),
        ([], {"text": "", "start": 0}, None),
    ],
)
def test_what_is_no_answer_comes_out_of_no_backend(
    labels: list[str], label: Any, shares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told:
        def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
            return [Answer(label, shares)] * len(inputs)

    Told.labels = tuple(labels)  # type: ignore[attr-defined]
    monkeypatch.setattr("ml.backends.null.load", lambda source: Told())
    with pytest.raises(Failed):
        open_model("null", Source(None, "", {})).answer(PROBES)


def test_an_absent_library_is_told_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ml.encoders.find_spec", lambda name: None)
    with pytest.raises(ArtifactError, match="bin/serve --with transformers"):
        open_model("transformers", Source(None, "", {}))
