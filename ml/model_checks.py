"""What a model must show before it may judge anybody; imports no Django."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from kinds import Prepared
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Failed
from ml.batcher import Busy

TOLERANCE: Final = 1e-6  # between an answer alone and in company
PATIENCE: Final = 0.15  # seconds for each figure
MOST: Final = 256  # answers for it
LONGEST_SAMPLE: Final = 500
NAMELESS: Final = re.compile(r"^LABEL_\d+$")


def check(
    open_it: Callable[[], Backend],
    probes: Sequence[Prepared],
    labels: Sequence[str],
) -> dict[str, Any]:
    """Open a model and try it on the probes of its kind; the report, or ArtifactError with what to
    do, whatever it raises.

    `labels` are the task's, empty where answers are free. It is opened twice: a net whose head was
    left out gets another one each time.
    """
    try:
        return _checked(open_it, probes, labels)
    except (ArtifactError, Failed) as error:
        raise ArtifactError(str(error)) from error
    except Busy as busy:
        raise ArtifactError(
            "The model's own cap is reached before its check is over: raise `per_minute`, "
            "`tokens_per_day` or `cost_per_day`, or try again later."
        ) from busy
    except ValueError as error:
        raise ArtifactError(f"The model does not take this task's inputs: {error}.") from error
    except Exception as error:
        raise ArtifactError(
            f"The model fails on the task's own inputs ({type(error).__name__}: {error})."
        ) from error


def _checked(
    open_it: Callable[[], Backend], probes: Sequence[Prepared], labels: Sequence[str]
) -> dict[str, Any]:
    before = _resident()
    backend = open_it()
    report: dict[str, Any] = {"labels": list(backend.labels)}
    _require_same_labels(backend.labels, labels)
    alone = [_one(backend, probe) for probe in probes]
    if before is not None and (after := _resident()) is not None:
        report["memory_mb"] = max(0, round((after - before) / 2**20))
    if (tokens := getattr(backend, "tokens", None)) is not None:
        report["tokens"] = tokens
    report["probabilities"] = alone[0].probabilities is not None
    report["tells_probes_apart"] = _differ(alone, blind=getattr(backend, "blind", False))
    report["company"] = _in_company(backend, probes, alone)
    report["again"] = _opened_again(open_it, probes, alone)
    remote = bool(getattr(backend, "remote", False))
    return {**report, **_pace(backend, probes, few=remote), "remarks": list(_remarks(backend))}


def check_talk(open_it: Callable[[], Any], messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Open a model that is to talk, and let it answer these once; the report, or ArtifactError."""
    backend = open_it()
    if not hasattr(backend, "turn"):
        raise ArtifactError("This task is for chats: register a model that talks, backend: chat.")
    pieces: list[str] = []
    began = time.perf_counter()
    try:
        said = asyncio.run(backend.aloud(messages, pieces.append))
    except Failed as failed:
        raise ArtifactError(str(failed)) from failed
    except Busy as busy:
        raise ArtifactError("The model may be asked no more for now, by its own caps.") from busy
    return {
        "said": said.content[:LONGEST_SAMPLE],
        "pieces": len(pieces),
        "tokens": said.tokens,
        "ms": round(1000 * (time.perf_counter() - began), 3),
        "remarks": list(_remarks(backend)),
    }


def _remarks(backend: Backend) -> Sequence[str]:
    return getattr(backend, "remarks", ())


def _require_same_labels(own: Sequence[str], labels: Sequence[str]) -> None:
    if len(set(own)) != len(own):
        raise ArtifactError("Two labels of the model have the same name.")
    if not labels:
        return
    if nameless := [name for name in own if NAMELESS.match(name) and name not in labels]:
        raise ArtifactError(
            f"The model calls its labels {', '.join(nameless)}, so that nobody can tell which is "
            "which: look up their order where it was trained, and name them under `labels:`."
        )
    missing, unknown = sorted(set(labels) - set(own)), sorted(set(own) - set(labels))
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing)
        parts += [f"has {', '.join(unknown)}, which the task has not"] * bool(unknown)
        raise ArtifactError(
            f"The model {' and '.join(parts)}: name each of its labels under `labels:`, with the "
            "task's label that it stands for."
        )


def _one(backend: Backend, probe: Prepared) -> Answer:
    (answer,) = backend.answer([probe])
    return answer


def _differ(alone: Sequence[Answer], *, blind: bool) -> bool:
    """Whether the probes are told apart; probabilities that agree to the last digit read nothing.

    Labels alone may well be the same.
    """
    differ = len({str(answer) for answer in alone}) == len(alone)
    if not differ and not blind and alone[0].probabilities is not None:
        raise ArtifactError(
            "The model answers two different inputs alike, to the last digit: it does not read "
            "them. Is its tokenizer there, and its vocabulary the one it was trained with?"
        )
    return differ


def _in_company(backend: Backend, probes: Sequence[Prepared], alone: Sequence[Answer]) -> float:
    most = getattr(backend, "at_once", 2 * len(probes))
    company = [*probes, *probes][:most]
    together = backend.answer(company)
    pairs = zip([*alone, *alone][: len(company)], together, strict=True)
    apart = max(_difference(one, other) for one, other in pairs)
    if apart > 2 * TOLERANCE:  # rounded to six digits, two that differ by less can be a step apart
        raise ArtifactError(
            "The model answers an input differently when others are asked beside it, so that a "
            "person's score would hang on strangers: export it without batch-dependent parts."
        )
    return apart


def _opened_again(
    open_it: Callable[[], Backend], probes: Sequence[Prepared], alone: Sequence[Answer]
) -> float:
    again = open_it()
    apart = max(
        _difference(one, _one(again, probe)) for one, probe in zip(alone, probes, strict=True)
    )
    if apart > 2 * TOLERANCE:
        raise ArtifactError(
            "Opened a second time, the model answers otherwise: part of it is made up anew at each "
            "loading (a head that was not saved), or it is not in its mode for answering."
        )
    return apart


def _difference(one: Answer, other: Answer) -> float:
    """The largest between two answers' probabilities; 1 where the answers themselves differ."""
    if one.label != other.label:
        return 1.0
    ours, theirs = one.probabilities or {}, other.probabilities or {}
    return max((abs(share - theirs.get(name, 2)) for name, share in ours.items()), default=0.0)


def _pace(backend: Backend, probes: Sequence[Prepared], *, few: bool) -> dict[str, float]:
    """Milliseconds of an answer alone, the median, and answers a second in company.

    `few`: somebody pays for each answer, so that it is asked once more and no oftener.
    """
    times: list[float] = []
    ends = time.perf_counter() + PATIENCE
    while not times or (time.perf_counter() < ends and len(times) < MOST and not few):
        began = time.perf_counter()
        backend.answer([probes[len(times) % len(probes)]])
        times.append(time.perf_counter() - began)
    found = {"ms": round(1000 * median(times), 3)}
    if few:
        return found
    company = [*probes, *probes] * 8
    company = company[: getattr(backend, "at_once", len(company))]
    count, began = 0, time.perf_counter()
    while not count or (time.perf_counter() < began + PATIENCE and count < MOST):
        count += len(backend.answer(company))
    return {**found, "per_second": round(count / (time.perf_counter() - began), 1)}


def _resident() -> int | None:
    """Bytes of memory that this process holds; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * 4096
