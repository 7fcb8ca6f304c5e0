"""Encoders in the form of Hugging Face's library: of texts, of pairs, of passages with a question.

A folder with a configuration, a tokenizer and safetensors, or a hub's id at a revision, fetched
when it is registered. Texts are asked one by one: padded to a stranger's length they take three
times as long. How they are opened is told in ml.encoders.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field, model_validator

from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Options, Source, answers_of
from ml.encoders import LONGEST, Array, Encoder, require_library, softmax
from ml.remote import require_allowed
from ml.why import Why, by_path, next_likeliest

SUFFIXES: Final = (".folder",)
SENT: Final = ".folder"
NAMES_LABELS: Final = True
PAIR: Final = ("context", "hypothesis")
HUB: Final = "huggingface.co"
LONGEST_ANSWER: Final = 30  # tokens
MOST_RECEIVED: Final = 256 * 2**20
MOST_FETCHED: Final = 2 * 2**30
READ: Final = {".json", ".txt", ".safetensors", ".model", ".jinja"}  # nothing in them is run
PICKLES: Final = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}


class Transformers(Options):
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$", description="An id there.")
    revision: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{40}$", description="The commit: a name may move."
    )
    max_tokens: int = Field(default=LONGEST, ge=8, le=8_192, description="That are read of a text.")
    int8: bool = Field(default=False, description="Smaller numbers: faster, nearly as good.")

    @model_validator(mode="after")
    def _hub_is_pinned(self) -> Transformers:
        if (self.hub is None) != (self.revision is None):
            raise ValueError("a hub's id needs its revision, the 40 digits of a commit")
        return self


OPTIONS = Transformers


def fetch(options: Transformers) -> Path | None:
    """The folder of a hub's checkpoint at its revision, of which nothing comes that is not read."""
    if options.hub is None:
        return None
    require_allowed(HUB, 443)
    require_library()
    from huggingface_hub import snapshot_download

    # Neither folders, which may hold the same again for other libraries, nor graphs.
    what: dict[str, Any] = {
        "revision": options.revision,
        "allow_patterns": [f"*{suffix}" for suffix in sorted(READ)],
        "ignore_patterns": ["*/*"],
    }
    try:
        size = sum(one.file_size for one in snapshot_download(options.hub, dry_run=True, **what))
        if size <= MOST_FETCHED:
            return Path(snapshot_download(options.hub, **what))
    except Exception as error:  # of a dozen classes
        raise ArtifactError(f"{options.hub} cannot be fetched: {error}") from error
    raise ArtifactError(f"{options.hub} has more than {MOST_FETCHED // 2**30} GiB.")


def pack(folder: Path) -> bytes:
    """A checkpoint's folder as one file."""
    return artifacts.zipped(files_of(folder))


def files_of(folder: Path) -> dict[str, bytes]:
    """What is read of a checkpoint's folder, and nothing that could be run."""
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    _require_inert(folder.name, files)
    return {name: path.read_bytes() for name, path in files.items() if _read(name)}


def received(data: bytes) -> bytes:
    """The same of a zip of such a folder that was sent from afar."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            there = [Path(info.filename) for info in file.infolist() if not info.is_dir()]
            homes = (one.parent for one in there if one.name == "config.json")
            home = min(homes, key=lambda one: len(one.parts), default=Path())
            files = {one.name: str(one) for one in there if one.parent == home}
            _require_inert("The zip", files)
            names = {name: whole for name, whole in files.items() if _read(name)}
            if sum(file.getinfo(whole).file_size for whole in names.values()) > MOST_RECEIVED:
                raise ArtifactError("The zip holds more than 256 MiB: register it by its folder.")
            return artifacts.zipped({name: file.read(whole) for name, whole in names.items()})
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError("Send the checkpoint's folder as a zip.") from error


def _read(name: str) -> bool:
    return Path(name).suffix in READ


def _require_inert(called: str, names: Collection[str]) -> None:
    if any(name.endswith(".safetensors") for name in names):
        return
    pickled = [name for name in names if Path(name).suffix in PICKLES]
    why = f" It has {pickled[0]}, which would be run, and is not." if pickled else ""
    raise ArtifactError(f"{called} has no safetensors.{why} Save the model with `save_pretrained`.")


def load(source: Source) -> Backend:
    """The folder of the registration, or the hub's at its revision, tried before it is believed."""
    require_library()
    options = Transformers.model_validate(
        {name: source.config[name] for name in Transformers.model_fields if name in source.config}
    )
    folder = _folder_of(source, options)
    how: dict[str, Any] = {"max_tokens": options.max_tokens, "int8": options.int8}
    if source.config.get("kind"):
        return PassageReader(Encoder(folder, "ForQuestionAnswering", **how))
    return Classifier(Encoder(folder, "ForSequenceClassification", **how), source.config)


def _folder_of(source: Source, options: Transformers) -> Path:
    """Where its files lie unpacked, once for all processes."""
    if source.path is None and (fetched := fetch(options)):  # registered by an earlier release
        return fetched
    data = artifacts.checked_bytes(source.file, source.sha256)
    home = artifacts.unpacked(source.file)
    if not home.is_dir():
        home.parent.mkdir(mode=0o700, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=home.parent, prefix=".unpacking-"))
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            for name in file.namelist():
                (scratch / Path(name).name).write_bytes(file.read(name))
        try:
            scratch.rename(home)
        except OSError:  # another process was quicker
            shutil.rmtree(scratch)
    return home


class Classifier:
    """Texts and pairs to labels, by name."""

    at_once = 1

    def __init__(self, encoder: Encoder, config: Any) -> None:
        self._encoder = encoder
        self.labels = encoder.found.labels
        given = tuple(config.get("labels", ()))
        if given and set(given) != set(self.labels):
            raise ArtifactError(
                f"The model's own labels are {', '.join(self.labels)}: under `labels:` name each "
                "of them, with the task's label that it stands for."
            )
        self._many = encoder.found.problem == "multi_label_classification"
        if len(self.labels) < 2:
            raise ArtifactError(
                "The model gives one number and no labels: it measures, and judges not."
            )
        if self._many != bool(config.get("several")):
            raise ArtifactError(
                "The model gives each label a probability of its own, so that they do not sum to 1."
                if self._many
                else "This task takes any number of labels, and the model gives one of them."
            )
        self.remarks = (
            f"It reads {encoder.max_tokens:,} tokens; of a longer text the end is cut, of a pair "
            "the end of the context.",
        )

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._answer(one.features) for one in inputs]

    def _answer(self, features: Any) -> Answer:
        (logits,) = self._encoder(self._encoder.words.of(*texts_of(features).values()))
        row = logits[0]
        shares = 1 / (1 + np.exp(-row)) if self._many else softmax(row)
        return answers_of(self.labels, shares[None].astype(np.float32))[0]

    def why(self, one: Prepared, label: str) -> Why:
        """Which of its words spoke for this label."""
        texts = texts_of(one.features)
        read = self._encoder.words.of(*texts.values())
        this, other = self.labels.index(label), ""
        if not self._many:
            other = next_likeliest(self._answer(one.features).probabilities or {}, label)
        that = self.labels.index(other) if other else None

        def odds(told: Any) -> Any:
            logits = told["logits"]
            return logits[:, this] if that is None else logits[:, this] - logits[:, that]

        fields = list(texts)
        return by_path(self._encoder, read, odds, fields=fields, label=label, rather_than=other)


def texts_of(features: Any) -> dict[str, str]:
    """The one text, or the two of a pair, by their fields."""
    if isinstance(features, dict) and all(name in features for name in PAIR):
        # A tuple would be read as the premise alone, in silence.
        return {name: features[name] for name in PAIR}
    if isinstance(features, dict) and isinstance(features.get("text"), str):
        return {"text": features["text"]}
    raise ValueError("it reads texts and pairs of texts")


class PassageReader:
    """A question and a passage to the likeliest span of it; the library has no such pipeline."""

    at_once = 1
    labels = ()

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.remarks = (
            f"It reads a passage in windows of {encoder.max_tokens:,} tokens.",
            "It gives no probabilities.",
        )

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [Answer(self._found(one.features)) for one in inputs]

    def _found(self, content: Any) -> dict[str, Any]:
        if not isinstance(content, dict) or "question" not in content:
            raise ValueError("it answers questions about passages")
        passage = content["context"]
        best, found = -np.inf, (0, 0)
        for window in self._encoder.words.windows(content["question"], passage):
            starts, ends = (row[0] for row in self._encoder(window)[:2])
            inside = [at for at, of in enumerate(window.sequence_ids) if of == 1]
            score, first, last = best_span(starts, ends, inside)
            offsets = window.offsets
            if score > best and offsets[first][0] < offsets[last][1]:
                best, found = score, (offsets[first][0], offsets[last][1])
        # Where nothing is likeliest, as of NaN, nothing is marked, which is no answer.
        return {"text": passage[found[0] : found[1]], "start": found[0]}


def best_span(starts: Array, ends: Array, inside: Sequence[int]) -> tuple[float, int, int]:
    """The likeliest first and last token of an answer, among these places beside each other.

    The largest sum of both logits, the last one not before the first and at most 30 tokens long.
    """
    if not inside:
        return -np.inf, 0, 0
    low, high = inside[0], inside[-1] + 1
    sums = starts[low:high, None] + ends[None, low:high]
    allowed = np.triu(np.ones_like(sums, bool)) & ~np.triu(np.ones_like(sums, bool), LONGEST_ANSWER)
    sums = np.where(allowed, sums, -np.inf)
    first, last = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[first, last]), low + int(first), low + int(last)
