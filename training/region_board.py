"""What regions say today: counts and examples, without what was withdrawn or judged anew since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q, QuerySet

from annotate.models import Example, ModelVersion
from scoring.queries import Rate
from scoring.statistics import wilson
from training.models import Discovery, LaterAnswer, Region, RegionExample
from training.queries import as_met, known_to, taught_to

SHOWN: Final = 12  # examples of a region, and as many near it
LATER: Final = 5  # models, the newest


@dataclass(frozen=True, slots=True)
class Later:
    """How a later model does on a region's members: those it learned from, and the others."""

    model: ModelVersion
    learned: Rate
    held_out: Rate


@dataclass(frozen=True, slots=True)
class RegionRow:
    """One region as it stands today; `near` are the errors among examples by others near to it."""

    region: Region
    members: int
    of: int
    near: Rate
    base: Rate
    examples: Sequence[Example]
    others: Sequence[Example]
    later: Sequence[Later]

    @property
    def times(self) -> float | None:
        """How many times as often as everywhere the model errs near it."""
        if not self.near.of or not self.base.value:
            return None
        return (self.near.value or 0) / self.base.value

    @property
    def share(self) -> float:
        return self.members / self.of if self.of else 0.0

    def summary(self) -> dict[str, Any]:
        return {
            "label": self.region.label,
            "answer": self.region.answer,
            "name": self.region.name,
            "members": self.members,
            "near": {"errors": self.near.count, "of": self.near.of},
        }


@dataclass(frozen=True, slots=True)
class Board:
    """All regions of one look. `base` is how often the model errs on what it was sent."""

    discovery: Discovery
    base: Rate
    rows: Sequence[RegionRow]

    @property
    def members(self) -> int:
        return sum(row.members for row in self.rows)


def board_of(discovery: Discovery) -> Board:
    """Nine queries, and two for each later model and each of its ancestors."""
    known = known_to(discovery.model)
    counts = known.aggregate(n=Count("pk"), wrong=Count("pk", filter=Q(misread=True)))
    base = rate(counts["wrong"], counts["n"])
    rows = RegionExample.objects.filter(region__discovery=discovery)
    misread = dict(known.filter(pk__in=rows.values("example")).values_list("pk", "misread"))
    links = defaultdict(list)
    for region_pk, pk, *how in rows.order_by("place").values_list(
        "region", "example", "member", "near"
    ):
        if pk in misread:
            links[region_pk].append((pk, *how, misread[pk]))
    shown = _shown(known, links.values())
    later = _later(
        discovery.model, [pk for one in links.values() for pk, is_in, *_ in one if is_in]
    )
    board = []
    for region in discovery.regions.order_by("number"):
        mine = links[region.pk]
        members = [pk for pk, is_in, *_ in mine if is_in]
        others = [pk for pk, is_in, *_ in mine if not is_in]
        near = [fooled for _, _, is_near, fooled in mine if is_near]
        if members:
            board.append(
                RegionRow(
                    region=region,
                    members=len(members),
                    of=int(base.count),
                    near=rate(sum(near), len(near)),
                    base=base,
                    examples=[shown[pk] for pk in members[:SHOWN]],
                    others=[shown[pk] for pk in others[:SHOWN]],
                    later=[one for told in later if (one := told(members))],
                )
            )
    return Board(discovery, base, board)


def rate(count: int, of: int) -> Rate:
    return Rate(count, of, wilson(count, of))


def _shown(known: QuerySet[Any], regions: Iterable[Sequence[Any]]) -> Mapping[int, Example]:
    wanted: set[int] = set()
    for links in regions:
        for side in (True, False):
            wanted.update([pk for pk, is_in, *_ in links if is_in == side][:SHOWN])
    found = known.filter(pk__in=wanted).select_related("task__config", "config", "context")
    return {one.pk: as_met(one) for one in found}


def _later(model: ModelVersion, members: Sequence[int]) -> list[Any]:
    """For each later model a function from members to what it is on them, None without answers."""
    answers: dict[int, dict[int, bool]] = defaultdict(dict)
    given = LaterAnswer.objects.filter(example__in=members).values_list("model", "example", "erred")
    for asked, example, erred in given:
        answers[asked][example] = erred
    models = model.task.models.filter(pk__in=answers).order_by("-number")[:LATER]

    def of(other: ModelVersion) -> Any:
        said, taught = answers[other.pk], taught_to(other)

        def told(rows: Sequence[int]) -> Later | None:
            both = [
                [said[pk] for pk in rows if pk in said and (pk in taught) == side]
                for side in (True, False)
            ]
            learned, held_out = (rate(sum(side), len(side)) for side in both)
            return Later(other, learned, held_out) if any(both) else None

        return told

    return [of(other) for other in reversed(models)]
