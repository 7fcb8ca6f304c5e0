"""Texts with one label: a checkpoint of Hugging Face's library, tuned on the task's own.

An extra (`bin/serve --with transformers`). Clean data is a folder as that of the learner of texts,
and in it `checkpoint`, what `save_pretrained` made: an encoder, with a head for the task's labels
or without. This file is all that a server that only serves imports.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from numpy.typing import NDArray
from pydantic import Field

from ml import artifacts
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.learners import BadSource, Base, Checkpoint, Item, Progress, Settings, Trained
from ml.learners.texts import TextLearner

CHECKPOINT: Final = "checkpoint"
_ITEMS: Final = "items.json.gz"


class Tuning(Settings):
    """How it learns from what fooled it."""

    # As far as those of the net of digits: files of tasks of texts could say so before.
    mix: Literal["half", "union", "foolings_only"] = "half"
    epochs: int = Field(default=3, ge=1, le=200)
    epoch_items: int = Field(
        default=2_000, ge=1, le=10**6, description="Clean items an epoch, others each time."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="Epochs without a better one, by a tenth that is held back, and it stops.",
    )
    batch_size: int = Field(default=16, ge=2, le=4096)
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    max_tokens: int = Field(default=128, ge=8, le=8_192, description="That are read of a text.")


@dataclass(frozen=True, slots=True)
class Begun(Base):
    """Clean items, and the checkpoint that came with them: its files by their names."""

    files: Mapping[str, bytes] = field(default_factory=dict)


class TunedTexts(TextLearner):
    """The learner."""

    name = "tuned_texts"
    backend = "transformers"
    settings: type[Settings] = Tuning

    def load_base(self, source: str) -> Base:
        from ml.backends.transformers import files_of

        base, home = super().load_base(source), Path(source) / CHECKPOINT
        try:
            files = files_of(home) if home.is_dir() else {}
        except ArtifactError as error:
            raise BadSource(str(error)) from error
        return Begun(base.train, base.held_out, base.source, files)

    def pack(self, base: Base) -> bytes:
        files = base.files if isinstance(base, Begun) else {}
        kept = {f"{CHECKPOINT}/{name}": data for name, data in files.items()}
        return artifacts.zipped({_ITEMS: super().pack(base), **kept})

    def unpack(self, data: bytes) -> Base:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                members = {name: file.read(name) for name in file.namelist()}
            base = super().unpack(members.pop(_ITEMS))
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(str(error)) from error
        files = {name.removeprefix(f"{CHECKPOINT}/"): kept for name, kept in members.items()}
        return Begun(base.train, base.held_out, base.source, files)

    def train(
        self,
        base: Base,
        *,
        labels: Sequence[str],
        seed: int,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        """From the checkpoint as it came; an epoch has all clean items."""
        if not isinstance(base, Begun) or not base.files:
            raise ArtifactError(f"There is no folder `{CHECKPOINT}` beside the clean data.")
        if not base.train:
            raise ArtifactError("There is nothing to learn from: it takes a train.tsv.")
        how = Tuning(epoch_items=len(base.train)).model_dump()
        return self._tuned(base.files, labels, base, [], how, seed, progress, checkpoint)

    def fine_tune(
        self,
        parent: LoadedArtifact,
        base: Base,
        verified: Sequence[Item],
        *,
        seed: int,
        settings: Mapping[str, Any],
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        if not verified:
            raise ValueError("there are no verified examples to learn from")
        files, labels = parent.members, parent.labels
        return self._tuned(files, labels, base, verified, settings, seed, progress, checkpoint)

    def export(self, trained: Trained) -> Mapping[str, bytes]:
        files: Mapping[str, bytes] = trained.model
        return files

    def weights(self, artifact: LoadedArtifact) -> Mapping[str, NDArray[Any]]:
        from safetensors.numpy import load

        kept = [data for name, data in artifact.members.items() if name.endswith(".safetensors")]
        return {name: found for data in kept for name, found in load(data).items()}

    def _tuned(
        self,
        files: Mapping[str, bytes],
        labels: Sequence[str],
        base: Base,
        verified: Sequence[Item],
        settings: Mapping[str, Any],
        seed: int,
        progress: Progress | None,
        checkpoint: Checkpoint | None,
    ) -> Trained:
        from ml.learners.tuned_texts.training import tuned

        if unknown := {str(item.label) for item in [*base.train, *verified]} - set(labels):
            raise ArtifactError(
                f"The data have the label {', '.join(sorted(unknown))}, which the task has not."
            )
        how = Tuning.model_validate(settings)
        made, versions = tuned(
            files,
            labels,
            base.train,
            verified,
            how,
            seed=seed,
            progress=progress,
            checkpoint=checkpoint,
        )
        config = {
            "net": self.name,
            "clean_items": len(base.train),
            "verified_items": len(verified),
            "seed": seed,
            **how.model_dump(),
            **versions,
        }
        return Trained(self.name, tuple(labels), made, config)


LEARNER: Final = TunedTexts()
