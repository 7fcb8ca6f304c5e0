"""Two models on one frozen set: which answers of one are right and of the other not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.models import ModelVersion, Task
from kinds.answers import in_words
from training.evaluation import FLIPS_KEPT
from training.evaluations import FrozenSet, set_as_it_is
from training.models import Evaluation
from training.run_board import Change, Flipped, Flips, change_of, named
from training.versions import shown_versions


@dataclass(frozen=True)
class Pair:
    """What changed from one model to the other; `missing` says why that cannot be told."""

    change: Change | None = None
    lost: Flips | None = None
    gained: Flips | None = None
    missing: str = ""


def pair_of(task: Task, name: str, before: ModelVersion, now: ModelVersion) -> Pair:
    """By the version of the set that comparisons show, as long as it is the one that is frozen.

    Examples that were withdrawn since are counted and not shown. Reads the set.
    """
    met = shown_versions(task).get(name, {})
    known = [met[model.pk].pk for model in (before, now) if model.pk in met]
    found = {one.model_id: one for one in Evaluation.objects.filter(pk__in=known)}
    if len(found) < 2 or not all("bits" in one.figures for one in found.values()):
        return Pair(missing="Both are to be evaluated on it first.")
    data = set_as_it_is(task, name)
    one, other = found[before.pk], found[now.pk]
    if data is None or {one.data_sha256, other.data_sha256} != {data.sha256}:
        return Pair(missing="The set is another one by now: evaluate what is new.")
    old, new = (_bits(each, len(data.items)) for each in (one, other))
    lost, gained = np.flatnonzero(old & ~new), np.flatnonzero(~old & new)
    return Pair(
        change_of(len(data.items), one.right, other.right, len(lost), len(gained)),
        _flips(task, data, lost),
        _flips(task, data, gained),
    )


def _bits(found: Evaluation, count: int) -> NDArray[np.bool_]:
    packed = np.frombuffer(bytes.fromhex(found.figures["bits"]), np.uint8)
    return np.unpackbits(packed, count=count).astype(bool)


def _flips(task: Task, data: FrozenSet, places: NDArray[np.int64]) -> Flips:
    some = [int(place) for place in places[:FLIPS_KEPT]]
    names = [_name(data, place) for place in some]
    examples = named(task, names)
    shown = []
    for place, name in zip(some, names, strict=True):
        item, example = data.items[place], examples.get(name)
        if name and example is None:
            continue
        with suppress(Exception):  # one that cannot be shown hides no other
            stored = task.kind.parse(task.kind.raw(item.prepared.features)).stored
            picture, texts = task.kind.picture(stored), task.kind.texts(stored)
            shown.append(Flipped(example, in_words(item.label), "", picture, texts))
    return Flips(len(places), shown)


def _name(data: FrozenSet, place: int) -> str:
    """Of the owner's clean data none has a name; what people sent beside them has."""
    return data.names[place] if data.names else getattr(data.items[place], "name", "")
