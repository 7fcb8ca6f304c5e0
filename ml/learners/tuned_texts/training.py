"""Tuning a checkpoint; apart, because a server that only serves imports neither torch for it nor
the library.

A loop of our own and not the library's Trainer: that one takes another package (accelerate), keeps
its checkpoints as folders, and has no soft labels, no two sources in one batch and no end by a
progress that raises. What is made is saved, loaded by its path, in its mode for answering, and
compared with what was trained.
"""

from __future__ import annotations

import copy
import io
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ml.artifacts import ArtifactError
from ml.backends.transformers import texts_of
from ml.encoders import INPUTS, WORDS, Words, read_net, read_tokenizer, require_library, room_of
from ml.learners import Checkpoint, Item, Progress, shares_of
from ml.repeatable import repeatable

if TYPE_CHECKING:
    from ml.learners.tuned_texts import Tuning

HEAD: Final = "ForSequenceClassification"
WARM: Final = 0.1  # of all steps, in which the rate rises; then it falls to 0
DECAY: Final = 0.01
STEEPEST: Final = 1.0  # length of all slopes together
KEEP_EVERY: Final = 60.0  # seconds: a checkpoint is three times the net
TOLERANCE: Final = 1e-4  # between what was trained and what was saved, as between a net and a graph
COMPARED: Final = 8
_WEIGHTS: Final = ".safetensors"

Rows = NDArray[np.int64]


def tuned(
    files: Mapping[str, bytes],
    labels: Sequence[str],
    clean: Sequence[Item],
    verified: Sequence[Item],
    how: Tuning,
    *,
    seed: int,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files of the tuned checkpoint, and the versions of what made it.

    On a graphics card where there is one, else on one thread, where the same seed and libraries
    give the same files, also when it went on from a `checkpoint`.
    """
    require_library()
    import transformers

    with tempfile.TemporaryDirectory(prefix="dadc-tuning-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / Path(file).name).write_bytes(content)
        with repeatable(seed):
            tokenizer = read_tokenizer(folder)
            net = _net_for(folder, labels, seed)
            (folder / WORDS).write_text(tokenizer.backend_tokenizer.to_str())
            words = Words(folder / WORDS, min(how.max_tokens, room_of(tokenizer, net)))
            sample = tokenizer("One text.", "Another one.", return_tensors="np")
            names = tuple(one for one in INPUTS if one in sample)
            order = [net.config.id2label[place] for place in range(len(labels))]
            data = _Data([*clean, *verified], len(clean), order, words, names, tokenizer)
            _Course(net, data, how, seed, progress, checkpoint).run()
        saved = _saved(net.cpu().eval(), data, Path(name) / "saved")
    kept = {
        file: content
        for file, content in files.items()
        if not file.endswith((_WEIGHTS, ".index.json")) and file != "config.json"
    }
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {**kept, **saved}, versions


def _net_for(folder: Path, labels: Sequence[str], seed: int) -> Any:
    """The checkpoint with its head if that is for these very labels, else with a new one."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ArtifactError(f"The checkpoint cannot be read: {error}") from error
    named = getattr(config, "id2label", None) or {}
    if set(named.values()) == set(labels) and len(named) == len(labels):
        try:
            return read_net(folder, HEAD)
        except ArtifactError:  # a config that names them, and no head
            pass
    torch.manual_seed(seed)
    body = read_net(folder, "", may_lack=("pooler",))
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: place for place, label in enumerate(labels)}
    config.num_labels, config.problem_type = len(labels), None
    net = AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    )
    net.base_model.load_state_dict(body.state_dict(), strict=False)
    return net


class _Data:
    """Items as the net reads them, the first `clean` of which are clean."""

    def __init__(
        self,
        items: Sequence[Item],
        clean: int,
        labels: Sequence[str],
        words: Words,
        names: Sequence[str],
        tokenizer: Any,
    ) -> None:
        self.clean, self.all = clean, len(items)
        self._names, self._blank = names, tokenizer.pad_token_id or 0
        self._read = [words.of(*texts_of(item.prepared.features).values()) for item in items]
        self._shares = torch.from_numpy(shares_of(items, labels).astype(np.float32))

    def batch(self, rows: Rows, device: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What the net takes of these, each as long as the longest, and their labels' shares."""
        read = [self._read[row] for row in rows]
        longest = max(len(one.ids) for one in read)
        arrays = {}
        for name, field in zip(INPUTS, ("ids", "attention_mask", "type_ids"), strict=True):
            if name in self._names:
                blank = self._blank if field == "ids" else 0
                padded = [
                    [*getattr(one, field), *[blank] * (longest - len(one.ids))] for one in read
                ]
                arrays[name] = torch.tensor(padded, device=device)
        return arrays, self._shares[torch.from_numpy(rows)].to(device)


class _Course:
    """A training from its first step, or from the one that a checkpoint kept, to its last."""

    def __init__(
        self,
        net: Any,
        data: _Data,
        how: Tuning,
        seed: int,
        progress: Progress | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._net, self._data, self._how, self._seed = net.to(self._device), data, how, seed
        self._progress, self._checkpoint = progress, checkpoint
        self._optimizer = torch.optim.AdamW(
            self._net.parameters(), lr=how.learning_rate, weight_decay=DECAY
        )
        clean, verified = np.arange(data.clean), np.arange(data.clean, data.all)
        self._back: Rows = np.empty(0, np.int64)
        if how.patience is not None:
            lots = np.random.default_rng([seed, 1])
            clean, verified, self._back = _hold_back(clean, verified, lots)
        self._clean, self._verified = clean, verified
        self._step = self._since = 0
        self._least = float("inf")
        self._best: dict[str, Any] | None = None

    def run(self) -> None:
        each = len(list(self._batches(0)))
        total, kept_at = each * self._how.epochs, time.monotonic()
        self._resume()
        while self._step < total and not self._is_over():
            epoch, within = divmod(self._step, each)
            for rows in list(self._batches(epoch))[within:]:
                loss = self._learn(rows, self._step, total)
                self._step += 1
                is_last = self._step % each == 0
                if is_last:
                    self._look_back()
                if is_last or time.monotonic() - kept_at >= KEEP_EVERY:
                    self._keep()
                    kept_at = time.monotonic()
                if self._progress is not None:
                    said = f"Epoch {epoch + 1} of {self._how.epochs}, loss {loss:.3f}"
                    self._progress(self._step / total, said)
        if self._best is not None:
            self._net.load_state_dict(self._best)

    def _is_over(self) -> bool:
        return self._how.patience is not None and self._since >= self._how.patience

    def _learn(self, rows: Rows, step: int, total: int) -> float:
        warm = max(1, round(WARM * total))
        share = min((step + 1) / warm, (total - step) / max(1, total - warm))
        for group in self._optimizer.param_groups:
            group["lr"] = self._how.learning_rate * min(1.0, share)
        self._net.train()
        loss = self._loss(rows)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), STEEPEST)
        self._optimizer.step()
        return loss.item()

    def _loss(self, rows: Rows) -> torch.Tensor:
        arrays, shares = self._data.batch(rows, self._device)
        return -(shares * F.log_softmax(self._net(**arrays).logits, dim=1)).sum(1).mean()

    def _batches(self, epoch: int) -> Iterator[Rows]:
        """The rows of each batch: the same of an epoch, whenever it is asked."""
        rng = np.random.default_rng([self._seed, 2, epoch])
        many, size = min(self._how.epoch_items, len(self._clean)), self._how.batch_size
        if self._how.mix == "foolings_only" and len(self._verified):
            many = 0
        chosen = rng.permutation(self._clean)[:many]
        if not len(self._verified) or not many or self._how.mix == "union":
            share = many / max(1, len(self._clean)) or 1.0
            taken = rng.permutation(self._verified)[: max(1, round(share * len(self._verified)))]
            whole = rng.permutation(np.concatenate([chosen, taken]))
            yield from (whole[start : start + size] for start in range(0, len(whole), size))
            return
        for start in range(0, many, size // 2):
            half = chosen[start : start + size // 2]
            beside = self._verified[rng.integers(len(self._verified), size=len(half))]
            yield np.concatenate([half, beside])

    def _look_back(self) -> None:
        """Remember the weights if what is held back was never read better."""
        if self._how.patience is None:
            return
        self._net.eval()
        with torch.inference_mode():
            size = self._how.batch_size
            parts = [self._back[n : n + size] for n in range(0, len(self._back), size)]
            losses = [self._loss(part).item() * len(part) for part in parts]
        loss = sum(losses) / max(1, len(self._back))
        self._since = 0 if loss < self._least else self._since + 1
        if not self._since:
            self._least, self._best = loss, copy.deepcopy(self._net.state_dict())

    def _keep(self) -> None:
        if self._checkpoint is None:
            return
        on_card = torch.cuda.get_rng_state() if self._device == "cuda" else None
        stream = io.BytesIO()
        torch.save(
            {
                "step": self._step,
                "net": self._net.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "lots": torch.get_rng_state(),
                "lots_on_card": on_card,
                "since": self._since,
                "least": self._least,
                "best": self._best,
            },
            stream,
        )
        self._checkpoint.keep(stream.getvalue())

    def _resume(self) -> None:
        kept = self._checkpoint and self._checkpoint.read()
        if not kept:
            return
        state = torch.load(io.BytesIO(kept), weights_only=True, map_location=self._device)
        self._net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["lots"].cpu())
        if state["lots_on_card"] is not None and self._device == "cuda":
            torch.cuda.set_rng_state(state["lots_on_card"].cpu())
        self._step, self._since = state["step"], state["since"]
        self._least, self._best = state["least"], state["best"]


def _hold_back(clean: Rows, verified: Rows, lots: np.random.Generator) -> tuple[Rows, Rows, Rows]:
    """Nine tenths of each, and a tenth of both."""
    clean, verified = lots.permutation(clean), lots.permutation(verified)
    few, some = len(clean) // 10, len(verified) // 10
    return clean[few:], verified[some:], np.concatenate([clean[:few], verified[:some]])


def _saved(net: Any, data: _Data, folder: Path) -> dict[str, bytes]:
    """The net's files, once what is loaded from them says what it said."""
    net.save_pretrained(folder, max_shard_size="100GB")
    again = read_net(folder, HEAD)
    arrays, _ = data.batch(np.arange(min(COMPARED, data.all)), "cpu")
    with torch.inference_mode():
        apart = float((net(**arrays).logits - again(**arrays).logits).abs().max())
    if not apart <= TOLERANCE:  # NaN, too
        raise ArtifactError(f"What was saved answers {apart:g} off what was trained.")
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name == "config.json" or path.suffix == _WEIGHTS
    }
