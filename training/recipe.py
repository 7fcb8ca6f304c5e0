"""One recipe with one seed: trained, saved, loaded by its path, and judged; imports no Django.

It knows neither the database nor where this server keeps its files, so that it comes to the same on
whatever machine (training.on_ray).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from kinds import kind_named
from ml import artifacts
from ml.backends import Backend, open_model, source_of
from ml.learners import Base, Checkpoint, Item, Trained, learner_named, save
from training.config import RetrainingSettings
from training.evaluation import Comparison, accuracies, ask_both, flips_of, paired
from training.gates import Breadth, GateResult, GateSettings, judge
from training.nearby import Distance, Nearby, Usual, nearby
from training.splits import share_of

# Clean items beside the held-out ones, to find those near a learned item.
NEAR_OF_CLEAN: Final = 3_000

Tell = Callable[[float, str, bool], None]
"""Hears how far it is, of 1, in what stage, and whether that is a new one."""


@dataclass(frozen=True, slots=True)
class FrozenItem(Item):
    """An item of a snapshot with its facts."""

    round: int
    example: int
    author: str
    name: str
    """What the example is called outside of the database."""
    fooled: bool
    """Whether it is a verified fooling; what else is learned counts for no gate."""


@dataclass(frozen=True)
class Lesson:
    """All that the trainings of one run are told, beside the file of the current model."""

    kind: str
    learner: str
    model: Mapping[str, Any]
    """The current one, as it is registered: backend, artifact, sha256, config."""
    trials: Sequence[tuple[str, Mapping[str, Any]]]
    """Each recipe by its name with its settings, its seed among them."""
    verified: Sequence[FrozenItem]
    """All that may be learned from, before what is over one author's share is left out."""
    train: Sequence[FrozenItem]
    held_out: Sequence[FrozenItem]
    known: frozenset[int]
    """Examples that the current model learned from, or was tested with."""
    base: Base
    left_out: Mapping[str, Sequence[str]]
    """Why, and the names of these frozen examples: that cannot be read, whose label the model does
    not have, or that are more than one author's share."""
    generated: Sequence[Item]
    """Of confirmed regions, for recipes that take them; and what of these only tests."""
    generated_held_out: Sequence[Item]
    usual: Sequence[Usual]
    """What people sent lately and the model read as they did: clean, and next to foolings."""

    @property
    def authors_of_both(self) -> set[str]:
        return {item.author for item in self.train} & {item.author for item in self.held_out}


def try_recipe(
    lesson: Lesson, number: int, folder: Path, *, tell: Tell, checkpoint: Checkpoint
) -> dict[str, Any]:
    """What the recipe in this place comes to, as JSON; its file is left in the folder, in which the
    current model's is."""
    return _Trial(lesson, number, folder, tell, checkpoint).carry_out()


def try_elsewhere(
    number: int,
    told: tuple[Lesson, Mapping[str, bytes]],
    tell: Callable[[float, str], None],
) -> tuple[dict[str, Any], bytes]:
    """The same in a folder of its own that is gone afterwards, with the bytes of the file.

    `told` has the files that are in the folder, by their names.
    """
    lesson, files = told
    with TemporaryDirectory(prefix="dadc-trial-") as name:
        folder = Path(name) / "artifacts"
        folder.mkdir()
        for file, data in files.items():
            (folder / file).write_bytes(data)
        tried = try_recipe(
            lesson,
            number,
            folder,
            tell=lambda fraction, words, _: tell(fraction, words),
            checkpoint=Checkpoint(Path(name) / "part"),
        )
        return tried, (folder / tried["made"]["artifact"]).read_bytes()


class _Trial:
    def __init__(
        self, lesson: Lesson, number: int, folder: Path, tell: Tell, checkpoint: Checkpoint
    ) -> None:
        self._lesson, self._folder, self._tell = lesson, folder, tell
        self._checkpoint = checkpoint
        self._name, settings = lesson.trials[number]
        self._recipe = RetrainingSettings.model_validate(settings)
        self._learner = learner_named(lesson.learner)
        model = lesson.model
        self._parent = artifacts.load(folder / model["artifact"], model["sha256"])
        self._which = ""
        if len(lesson.trials) > 1:
            called = f"{self._name or 'seed'} {self._recipe.seed}"
            self._which = f"{number + 1} of {len(lesson.trials)} ({called}): "

    def _say(self, fraction: float, sentence: str) -> None:
        self._tell(fraction, self._which + sentence, True)

    def carry_out(self) -> dict[str, Any]:
        model = self._lesson.model
        made = save(self._train(), self._folder, model["config"]["base"])
        made["config"]["retraining"] = self._recipe.model_dump(mode="json")
        self._say(0.9, "Testing the candidate and the current model.")
        test = _Test(self._lesson, self._opened(model), self._opened(made))
        self._say(0.97, "Judging by the gates.")
        return {
            "recipe": self._name,
            "seed": self._recipe.seed,
            "made": made,
            "figures": test.figures(),
            "gates": [asdict(gate) for gate in self._judge(test)],
            "flips": test.flips(),
            "unanswered": test.unanswered,
            "generated": len(self._made_up),
        }

    def _opened(self, model: Mapping[str, Any]) -> Backend:
        return open_model(model["backend"], source_of(model, self._folder))

    def _taught(self) -> list[FrozenItem]:
        replay, seed = self._recipe.replay, str(self._recipe.seed)
        return [
            item
            for item in self._lesson.train
            if item.example not in self._lesson.known or share_of(seed, item.name) < replay
        ] or list(self._lesson.train)

    @property
    def _made_up(self) -> Sequence[Item]:
        """What it learns of generated regions."""
        settings = self._recipe.of_learner(self._learner)
        return self._lesson.generated if settings.get("generated") else []

    def _train(self) -> Trained:
        taught, base, seed = self._taught(), self._lesson.base, self._recipe.seed
        what = _what_it_learns(self._lesson, taught, kind_named(self._lesson.kind).words.things)
        self._say(0, what)

        def tell(fraction: float, sentence: str) -> None:
            said = f"{self._which}{what[:-1]}: {sentence[:1].lower()}{sentence[1:]}."
            self._tell(0.85 * fraction, said, False)

        if self._recipe.start == "scratch":
            everything = replace(base, train=[*base.train, *taught])
            return self._learner.train(
                everything,
                labels=self._parent.labels,
                seed=seed,
                progress=tell,
                checkpoint=self._checkpoint,
            )
        settings: Mapping[str, Any] = self._recipe.of_learner(self._learner)
        also = {"generated": self._made_up} if self._made_up else {}
        return self._learner.fine_tune(
            self._parent,
            base,
            taught,
            seed=seed,
            settings=settings,
            progress=tell,
            checkpoint=self._checkpoint,
            **also,
        )

    def _judge(self, test: _Test) -> list[GateResult]:
        gates, lesson = self._recipe.gate_settings, self._lesson
        return judge(
            test.comparison.clean,
            test.comparison.earlier,
            test.comparison.new_round,
            verified=test.verified,
            shared_authors=lesson.authors_of_both,
            train=_breadth(lesson.train),
            held_out=_breadth(lesson.held_out),
            near=test.near(kind_named(lesson.kind).distance, gates, self._made_up),
            settings=gates,
            of=len(lesson.trials),
        )


def _what_it_learns(data: Lesson, taught: Sequence[FrozenItem], things: str) -> str:
    authors = len({item.author for item in taught})
    count = sum(map(len, data.left_out.values()))
    left_out = f" ({count:,} left out)" if count else ""
    foolings = sum(item.fooled for item in taught)
    others = f" and {len(taught) - foolings:,} other examples" if foolings < len(taught) else ""
    return (
        f"Training on {foolings:,} verified foolings{others}{left_out} by {authors} "
        f"{'person' if authors == 1 else 'people'} and {len(data.base.train):,} clean {things}."
    )


class _Test:
    """Both models' answers, and how many verified foolings are new to the current one.

    What the current model was promoted with is an earlier round's frozen test. All else is the new
    round's: foolings of the round just played, and those of earlier ones that were verified late.
    """

    def __init__(self, data: Lesson, current: Backend, candidate: Backend) -> None:
        learned = data.known
        self._models, self._data = (current, candidate), data
        self._new = [item for item in data.train if item.example not in learned]
        self._clean = clean = ask_both(current, candidate, data.base.held_out)
        held_out = ask_both(current, candidate, data.held_out)
        self._earlier = earlier = [one for one in held_out if one.item.example in learned]
        self._met_now = new = [one for one in held_out if one.item.example not in learned]
        free = kind_named(data.kind).answers.free
        self.comparison = Comparison(
            clean=paired(clean, free=free),
            earlier={
                number: paired([one for one in earlier if one.item.round == number], free=free)
                for number in {one.item.round for one in earlier}
            },
            new_round=paired(new, free=free),
        )
        self.verified = len(new) + sum(item.example not in learned for item in data.verified)
        answered = {id(one.item) for one in clean} | {id(one.item) for one in held_out}
        self._places = {id(item): place for place, item in enumerate(data.base.held_out)}
        self.unanswered: dict[str, list[str | int]] = {
            "unanswered": [item.name for item in data.held_out if id(item) not in answered],
            "unanswered_clean": [n for item, n in self._places.items() if item not in answered],
        }

    def flips(self) -> dict[str, Any]:
        """What changed from right to wrong or back: of people the examples' names, of clean data
        their places."""
        return {
            "new_round": flips_of(self._met_now, lambda item: item.name),
            "earlier_rounds": flips_of(self._earlier, lambda item: item.name),
            "clean": flips_of(
                self._clean, lambda item: getattr(item, "name", self._places[id(item)])
            ),
        }

    def figures(self) -> dict[str, Any]:
        """The comparison's, and how many generated inputs each model reads: no gate asks that."""
        figures = self.comparison.figures()
        if self._data.generated_held_out:
            figures["generated"] = accuracies(
                paired(ask_both(*self._models, self._data.generated_held_out))
            )
        return figures

    def near(
        self, distance: Distance | None, settings: GateSettings, made_up: Sequence[Item]
    ) -> list[Nearby]:
        """How sure both models are of clean items next to those that were learned now.

        What people sent and what was `made_up` apart: neither takes the places of the other among
        those that are compared.

        Among them what people sent lately and the model read as its author did: base data is of
        other hands, and what is next to a fooling is most of all what people here make.
        """
        if distance is None:
            return []
        others = [*self._data.base.train[:NEAR_OF_CLEAN], *self._data.usual]
        more = ask_both(*self._models, others)
        clean = [*self._clean, *more]
        return [
            one
            for learned in (self._new, made_up)
            for one in nearby(
                ask_both(*self._models, learned),
                clean,
                distance,
                nearest=settings.nearby_items,
                least=settings.nearby_learned,
            )
        ]


def _breadth(frozen: Sequence[FrozenItem]) -> Breadth:
    items = [item for item in frozen if item.fooled]
    return Breadth(
        authors=len({item.author for item in items}),
        contents=len({item.prepared.key for item in items}),
    )
