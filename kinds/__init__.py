"""Kinds of input: what a task's people make and models answer; one folder a kind, found by itself.

A folder holds `__init__.py` with `KIND`, and beside it whatever else the kind needs, as
docs/kinds.md says: its page, what validators see, its tests. The rest of the server knows a kind
only through the fields of `Kind`. Imports no Django.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final

from kinds.answers import Answers
from kinds.likeness import Likeness
from kinds.words import Words

if TYPE_CHECKING:
    from numpy.random import Generator

FOLDER: Final = Path(__file__).parent


class Prepared:
    """A checked input.

    `key` names its content: the same for two that a model cannot tell apart. `features` are what a
    model reads, in the form that the kind says. `stored`, what is kept, and `form`, what is
    compared with others, are made when they are asked for: most inputs are only predicted.
    """

    __slots__ = ("_form", "_shaped", "_store", "features", "key")

    def __init__(
        self,
        key: str,
        features: Any,
        store: Callable[[], Any] | None = None,
        form: Callable[[], Any] | None = None,
    ) -> None:
        self.key, self.features = key, features
        self._store, self._form = store, form

    @property
    def stored(self) -> Any:
        """What is kept, as JSON; parsing it again gives the same key."""
        return self.features if self._store is None else self._store()

    @property
    def form(self) -> Any:
        """What the kind's likeness compares; made once."""
        if not hasattr(self, "_shaped"):
            self._shaped = self.features if self._form is None else self._form()
        return self._shaped


@dataclass(frozen=True, kw_only=True)
class Kind:
    """All that the server knows of one kind of input."""

    name: str
    """Its folder's name."""
    parse: Callable[[object], Prepared]
    """Check a raw input as it travels; core.errors.Refused with a sentence."""
    answers: Answers
    words: Words
    rules: tuple[str, ...]
    """The fooling rules that a task of this kind may name; the first is the default."""
    shape: str
    """How an input travels, for the API's documentation."""
    contexts: bool = False
    """Whether it may be made about a context that the server gave."""
    given: tuple[str, ...] = ()
    """The fields of an input that a context says, where it must have one."""
    heavy: Callable[[object], bool] = lambda _: False
    """Whether reading a raw input may take much longer than one of the page's; quickly told."""
    probes: tuple[object, object]
    """Two raw inputs that a model worth asking tells apart; new models are tried on them."""
    policy: str = "bayes"
    """The verdict policy where a task names none."""
    seen: Callable[[Any], Any] = lambda stored: stored
    """What a validator is shown of a stored input: nothing that tells the author's answer."""
    picture: Callable[[Any], str | None] = lambda _: None
    """The address of a picture of a stored input, light on dark, where it is one."""
    fits: Callable[[Any, Any], str] = lambda _input, _answer: ""
    """What is wrong with an answer to this very input (its features, or what is stored), or ""."""
    stands: Callable[[Any, Any], str] = lambda _input, _answer: ""
    """What is wrong with it besides as the answer of an author here, where logs' are freer."""
    likeness: Likeness
    """When two inputs are one content."""
    distance: Callable[[Prepared, Prepared], float] | None = None
    """How far two inputs are apart for a model, where "looks like" means something."""
    altered: Callable[[Any, Generator], Any] | None = None
    """A real input's features as somebody might alter it whose answer stays: for rehearsals."""
    raw: Callable[[Any], object] = lambda features: features
    """Features as an input travels."""
    talks: bool = False
    """Whether it is a talk with the model: the server holds it, and it travels as its id. What the
    model stands for is said by the task's `claim`; nobody predicts it."""
    parts: Callable[[Any], list[tuple[str, str]]] = lambda _: []
    """Named texts of a stored input beside those that are its fields, in reading order."""
    counts: Callable[[Any], str] = lambda _: ""
    """What a stored input took to make, in words for its author and owners."""
    guesses: Callable[[Any], list[Any]] | None = None
    """Answers to an input (its features) for a model that knows nothing, where they are free."""
    page_of: str = ""
    """The kind whose styles it shares, and of its editor and viewer what it has not itself."""
    folder: Path

    def _home(self, file: str) -> str:
        """The name of the folder that has this file of its page, its own first."""
        homes = filter(None, (self.name, self.page_of))
        return next((home for home in homes if (self.folder.parent / home / file).exists()), "")

    @property
    def editor(self) -> str:
        """The template with which annotators make an input."""
        return f"{self._home('editor.html')}/editor.html"

    @cached_property
    def has_page(self) -> bool:
        """Whether annotators have a page for it; else scripts send, validate and score it."""
        return bool(self._home("editor.html"))

    @cached_property
    def teaser(self) -> str:
        """The template of three steps that show the first page's readers what this is about."""
        return f"{self.name}/teaser.html" if (self.folder / "teaser.html").exists() else ""

    def static(self, name: str) -> str:
        """Where the page finds a file of its `static` folder; empty when there is none."""
        home = self._home(f"static/{name}")
        return f"kinds/{home}/{name}" if home else ""

    def sheets(self, name: str) -> list[str]:
        """Where a page finds its styles: the shared kind's, then its own; `shared.css` are of
        editor and viewer."""
        files = [
            (home, file) for home in (self.page_of, self.name) for file in ("shared.css", name)
        ]
        there = self.folder.parent
        return [
            f"kinds/{home}/{file}"
            for home, file in files
            if home and (there / home / "static" / file).exists()
        ]

    @cached_property
    def text_fields(self) -> tuple[str, ...]:
        """The names of an input's texts, as those that models are tried with have them."""
        probe = self.probes[0]
        if not isinstance(probe, dict) or self.picture(probe) is not None:
            return ()
        return tuple(name for name, text in probe.items() if isinstance(text, str))

    def about(self, raw: object, context: object) -> object:
        """A raw input with what its context says of the fields that it leaves out."""
        if not self.contexts or context is None or not isinstance(raw, dict):
            return raw
        return {**(context if isinstance(context, dict) else {"context": context}), **raw}

    def told(self, stored: Any, context: object) -> dict[str, str] | None:
        """What validators are told of what an input is about: its title and its text, no more.

        Another column of a context may be its answer; and known answers come without a context of
        the server's, so that the text is the input's own wherever that has it.
        """
        said = context if isinstance(context, dict) else {"context": context}
        own = stored if isinstance(stored, dict) else {}
        told = {**said, **{name: own[name] for name in self.given if name in own}}
        texts = {name: told.get(name) for name in ("title", "context")}
        return {name: text for name, text in texts.items() if isinstance(text, str)} or None

    def texts(self, stored: Any) -> list[tuple[str, str]]:
        """The named texts of a stored input, for lists and cards."""
        content = stored if isinstance(stored, dict) and self.picture(stored) is None else {}
        fields = [(name, text) for name, text in content.items() if isinstance(text, str)]
        return fields + self.parts(stored)


@cache
def all_kinds() -> dict[str, Kind]:
    """Every kind by its name."""
    folders = [found.name for found in iter_modules([str(FOLDER)]) if found.ispkg]
    kinds: list[Kind] = [import_module(f"kinds.{name}").KIND for name in folders]
    return {kind.name: kind for kind in kinds}


def kind_named(name: str) -> Kind:
    """The kind with this name; KeyError when there is none."""
    return all_kinds()[name]
