"""Which named phenomena people have attacked each model with, and which they have not yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from annotate.models import ModelVersion, Task
from scoring.queries import Rate
from training.models import Discovery, LaterAnswer, Region, RegionExample
from training.queries import known_to, taught_to
from training.region_board import rate

MODELS: Final = 6  # columns, the newest


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one phenomenon did to one model.

    `foolings` by `people` are in the model's own regions of that name; `near` are the errors among
    what others sent near to these. `still` is how often it errs on the foolings of earlier models
    of that name that it did not learn from, asked by the server and by nobody else.
    """

    foolings: int
    people: int
    near: Rate | None
    still: Rate | None


@dataclass(frozen=True, slots=True)
class Phenomenon:
    """One name, and a cell for each model."""

    name: str
    cells: tuple[Attacked, ...]

    @property
    def foolings(self) -> int:
        return sum(cell.foolings for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Column:
    """A model, and how many of its verified foolings are in a region that has a name, in another
    region, and in none; None where nobody looked for its regions."""

    model: ModelVersion
    named: int | None
    unnamed: int | None
    of: int

    @property
    def share(self) -> Rate:
        return rate(self.named or 0, self.of)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The names, those that fooled most first, by the models that people were asked to fool."""

    columns: tuple[Column, ...]
    rows: tuple[Phenomenon, ...]


def coverage_of(task: Task) -> Coverage:
    """By the newest look at each of the newest models that served; made-up inputs apart.

    A name given to regions of several models is one phenomenon, in whatever case. What was
    withdrawn since a look is in no number. Four queries, and five for each model and two for each
    of its ancestors.
    """
    served = task.models.filter(rounds__isnull=False).distinct().order_by("-number")
    models = sorted(served[:MODELS], key=lambda model: model.number)
    looks = _looks(task)
    names: dict[str, str] = {}
    regions = Region.objects.filter(discovery__in=looks.values()).exclude(name="")
    named = {pk: names.setdefault(name.casefold(), name) for pk, name in _newest(regions)}
    links = _links(looks.values())
    columns, found = [], []
    members: dict[str, list[int]] = defaultdict(list)  # of earlier models, by name
    for model in models:
        look, sent = looks.get(model.pk), known_to(model)
        looked_at = RegionExample.objects.filter(region__discovery=look).values("example")
        known = dict(sent.filter(pk__in=looked_at).values_list("pk", "misread"))
        mine = [link for link in links.get(look.pk, ()) if link[1] in known] if look else []
        still = _still(model, members)
        cells = {
            name: _cell([link for link in mine if named.get(link[0]) == name], known, still, name)
            for name in names.values()
        }
        inside = {pk for region, pk, _, is_in, _ in mine if is_in and region in named}
        others = {pk for _, pk, _, is_in, _ in mine if is_in} - inside
        of = sent.filter(misread=True).count()
        columns.append(
            Column(model, len(inside) if look else None, len(others) if look else None, of)
        )
        found.append(cells)
        for region, pk, _, is_in, _ in mine:
            if is_in and region in named:
                members[named[region]].append(pk)
    rows = [Phenomenon(name, tuple(cells[name] for cells in found)) for name in names.values()]
    shown = [row for row in rows if any(cell.foolings or cell.still for cell in row.cells)]
    return Coverage(tuple(columns), tuple(sorted(shown, key=lambda row: (-row.foolings, row.name))))


_Link = tuple[int, int, int, bool, bool]
"""Region, example, its author, whether it is a member, whether it is near one of another's."""


def _looks(task: Task) -> dict[int, Discovery]:
    """By model the newest look at it that came to its end."""
    done = task.discoveries.filter(status=Discovery.Status.DONE, generated=False)
    return {look.model_id: look for look in done.order_by("id")}


def _newest(regions: Iterable[Region]) -> list[tuple[int, str]]:
    """Keys and names; the newest look's spelling of a name is first."""
    ordered = sorted(regions, key=lambda one: (-one.discovery_id, one.number))
    return [(one.pk, one.name) for one in ordered]


def _links(looks: Iterable[Discovery]) -> dict[int, list[_Link]]:
    found: dict[int, list[_Link]] = defaultdict(list)
    rows = RegionExample.objects.filter(region__discovery__in=looks)
    for look, *link in rows.values_list(
        "region__discovery", "region", "example", "example__author", "member", "near"
    ):
        found[look].append(tuple(link))  # type: ignore[arg-type]
    return found


def _still(model: ModelVersion, members: dict[str, list[int]]) -> dict[str, Rate]:
    """How often it errs on earlier models' foolings that it did not learn from, by name."""
    if not members:
        return {}
    asked = LaterAnswer.objects.filter(
        model=model, example__in={pk for some in members.values() for pk in some}
    )
    erred = dict(asked.values_list("example", "erred"))
    taught = taught_to(model)
    told = {}
    for name, some in members.items():
        said = [erred[pk] for pk in set(some) - taught if pk in erred]
        if said:
            told[name] = rate(sum(said), len(said))
    return told


def _cell(
    links: Sequence[_Link], known: dict[int, bool], still: dict[str, Rate], name: str
) -> Attacked:
    """From the links of its own regions of this name."""
    inside = {pk: author for _, pk, author, is_in, _ in links if is_in}
    near = {pk for _, pk, _, _, is_near in links if is_near}
    return Attacked(
        foolings=len(inside),
        people=len(set(inside.values())),
        near=rate(sum(known[pk] for pk in near), len(near)) if near else None,
        still=still.get(name),
    )
