"""Checkpoints of encoders in the form of Hugging Face's library: opened, tried, kept as a graph.

What the library does in silence is an error here: a head that the file lacks, a tokenizer without
words. Where it can, ONNX Runtime runs the graph: twice as fast on one thread. What the first
opening found is kept beside it, so that whoever opens it next loads neither torch nor the library,
which take longer than all the rest. Imports no Django.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.artifacts import ArtifactError
from ml.files import written_whole

LONGEST: Final = 512
OVERLAP: Final = 64  # tokens that two windows share
TOLERANCE: Final = 1e-4  # between a graph's numbers and the net's
GRAPH, SMALL_GRAPH = "graph.onnx", "graph-int8-2.onnx"
FOUND, WORDS = "opened-1.json", "opened-1-words.json"
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUTS: Final = ("logits", "start_logits", "end_logits", "last_hidden_state")

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
Run = Callable[[dict[str, NDArray[np.int64]]], list[Array]]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a checkpoint once it was opened."""

    kind: str
    names: tuple[str, ...]
    """Which arrays it takes."""
    max_tokens: int
    labels: tuple[str, ...]
    problem: str | None
    blank: int
    """The token that says nothing."""


class Encoder:
    """A checkpoint and its tokenizer: from texts to what its head says, on one thread.

    `kind` is the library's name for its head, "" for none.
    """

    def __init__(self, folder: Path, kind: str, *, max_tokens: int = LONGEST, int8: bool = False):
        self.folder, self._kind = folder, kind
        self.found = _opened_before(folder, kind) or _opened_first(folder, kind)
        self.max_tokens = min(max_tokens, self.found.max_tokens)
        self.words = Words(folder / WORDS, self.max_tokens)
        self._run = self._runtime(int8=int8)

    def __call__(self, encoding: Any) -> list[Array]:
        """Each of its outputs, (1, …), of one text as `words` read it."""
        return self._run(self.arrays(encoding))

    def arrays(self, encoding: Any) -> dict[str, NDArray[np.int64]]:
        """What the net takes, by name, (1, length) each."""
        told = (encoding.ids, encoding.attention_mask, encoding.type_ids)
        whole = dict(zip(INPUTS, told, strict=True))
        return {name: np.asarray([whole[name]], np.int64) for name in self.found.names}

    @cached_property
    def net(self) -> Any:
        """The net itself, as float32 and in its mode for answering."""
        return read_net(self.folder, self._kind)

    def _runtime(self, *, int8: bool) -> Run:
        graph, small = self.folder / GRAPH, self.folder / SMALL_GRAPH
        if not graph.exists():
            if int8:
                raise ArtifactError("No int8 graph can be made of this model: leave `int8` out.")
            return run_by_torch(self.net)
        if int8 and not small.exists():
            _quantise(graph, small)
        return _session(small if int8 else graph)


class Words:
    """A tokenizer that cuts what is too long: of a pair the end of the first text."""

    def __init__(self, file: Path, most: int) -> None:
        from tokenizers import Tokenizer

        def cutting(strategy: str, stride: int = 0) -> Any:
            made = Tokenizer.from_file(str(file))
            made.no_padding()
            made.enable_truncation(most, stride=stride, strategy=strategy)
            return made

        self._most = most
        self._either, self._first = cutting("longest_first"), cutting("only_first")
        self._second = cutting("only_second", min(OVERLAP, most // 8))

    def of(self, text: str, pair: str | None = None) -> Any:
        """One text, or a pair, with `ids`, `offsets` (characters) and `sequence_ids`."""
        if pair is None:
            return self._either.encode(text)
        try:
            return self._first.encode(text, pair)
        except Exception:  # noqa: BLE001  (the second leaves no room for the first: both are cut)
            return self._either.encode(text, pair)

    def windows(self, text: str, long: str) -> list[Any]:
        """A short text with each part of a long one, which overlap."""
        read = self._either.encode(text, add_special_tokens=False)
        half = self._most // 2  # no more, so that the long one has room
        if len(read.ids) > half:
            text = text[: read.offsets[half - 1][1]]
        whole = self._second.encode(text, long)
        return [whole, *whole.overflowing]


def _opened_before(folder: Path, kind: str) -> Found | None:
    """What an earlier opening found, where its graph serves."""
    try:
        told = json.loads((folder / FOUND).read_text())
    except FileNotFoundError:
        return None
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    found = Found(**given)
    there = all((folder / name).exists() for name in (GRAPH, WORDS))
    return found if there and found.kind == kind else None


def _opened_first(folder: Path, kind: str) -> Found:
    tokenizer, net = read_tokenizer(folder), read_net(folder, kind)
    sample = tokenizer("One text.", "Another one, longer.", return_tensors="np")
    named = getattr(net.config, "id2label", None) or {}
    found = Found(
        kind=kind,
        names=tuple(name for name in INPUTS if name in sample),
        max_tokens=room_of(tokenizer, net),
        labels=tuple(str(named[place]) for place in range(len(named))),
        problem=getattr(net.config, "problem_type", None),
        blank=tokenizer.pad_token_id or 0,
    )
    _write(folder / WORDS, tokenizer.backend_tokenizer.to_str().encode())
    arrays = {name: np.asarray(sample[name], np.int64) for name in found.names}
    if (folder / GRAPH).exists() or _has_graph(net, folder / GRAPH, arrays):
        _write(folder / FOUND, json.dumps(asdict(found)).encode())
    return found


def room_of(tokenizer: Any, net: Any) -> int:
    """How many tokens it takes."""
    room: int = getattr(net.config, "max_position_embeddings", LONGEST)
    # RoBERTa's kin count positions from after the padding's.
    room -= 2 * ("roberta" in net.config.model_type)
    return min(int(tokenizer.model_max_length), room)


def _write(path: Path, data: bytes) -> None:
    with written_whole(path) as out:
        out.write(data)


def require_library() -> None:
    """ArtifactError with the command that brings it."""
    if find_spec("transformers") is None:
        raise ArtifactError(
            "This server has no transformers: start it with `bin/serve --with transformers`."
        )


def read_tokenizer(folder: Path) -> Any:
    """The checkpoint's own; one that knows hardly a word is an error."""
    require_library()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    except Exception as error:
        raise ArtifactError(f"The model's tokenizer cannot be read: {error}") from error
    words = tokenizer.tokenize("This is a text like any other, and the words in it are common.")
    unknown = sum(word == tokenizer.unk_token for word in words)
    if not words or 2 * unknown > len(words) or not tokenizer.is_fast:
        raise ArtifactError(
            f"The model's tokenizer knows {len(tokenizer)} tokens and hardly a word: its files are "
            "not in the folder. Save it there with `tokenizer.save_pretrained`."
        )
    return tokenizer


def read_net(folder: Path, kind: str, *, may_lack: Sequence[str] = ()) -> Any:
    """The net, as float32 and in its mode for answering; what its file lacks is an error, but for
    parts of these names."""
    require_library()
    import torch
    import transformers
    from transformers import logging as library

    # Warnings of the library stand on the page of the model that it is about, or nowhere.
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        net, told = getattr(transformers, f"AutoModel{kind}").from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="eager",  # a graph can be made of it
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told of, below
        )
    except Exception as error:
        raise ArtifactError(f"The model cannot be opened: {error}") from error
    lacking = sorted({*told["missing_keys"], *(one[0] for one in told["mismatched_keys"])})
    lacking = [one for one in lacking if not set(may_lack) & set(one.split("."))]
    if lacking:
        raise ArtifactError(
            f"The model's file lacks {', '.join(lacking[:4])}: that part would be made up anew at "
            "each start. Save the model after it was trained for this, with its head."
        )
    return net.eval()


# --- running it -----------------------------------------------------------------------------------
def run_by_torch(net: Any) -> Run:
    """The net's own answers, on one thread."""
    import torch

    from ml.backends.torch import one_torch_thread

    def run(encoded: dict[str, NDArray[np.int64]]) -> list[Array]:
        with one_torch_thread(), torch.inference_mode():
            told = net(**{name: torch.from_numpy(array) for name, array in encoded.items()})
        return [told[name].numpy() for name in _OUTPUTS if name in told]

    return run


def _has_graph(net: Any, path: Path, sample: dict[str, NDArray[np.int64]]) -> bool:
    """Whether there is one now that says what the net says."""
    try:
        _export(net, path, sample)
        expected, found = run_by_torch(net)(sample), _session(path)(sample)
        apart = max(
            float(np.abs(one - other).max()) for one, other in zip(expected, found, strict=True)
        )
        if apart > TOLERANCE:
            raise ArtifactError(f"The graph is {apart:g} off the net.")
    except Exception:  # whatever the exporter meets, torch can serve the net
        path.unlink(missing_ok=True)
        logger.warning("a checkpoint has no ONNX graph: torch serves it", exc_info=True)
        return False
    return True


def _export(net: Any, path: Path, sample: dict[str, NDArray[np.int64]]) -> None:
    """The graph of a net over any length, by the older exporter, whose graphs are faster."""
    import warnings

    import torch

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, *arrays: Any) -> Any:
            told = self.net(**dict(zip(sample, arrays, strict=True)))
            return tuple(told[name] for name in _OUTPUTS if name in told)

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Path(scratch) / path.name
        torch.onnx.export(
            Outputs().eval(),  # else the net is left in its mode for training, with its dropout
            tuple(torch.from_numpy(array) for array in sample.values()),
            str(made),
            input_names=list(sample),
            dynamic_axes={name: {0: "batch", 1: "length"} for name in sample},
            opset_version=17,
            dynamo=False,
        )
        _write(path, made.read_bytes())


def _quantise(graph: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / path.name
        # A scale for each channel, and numbers of seven bits, which no processor's sums overflow:
        # else a head over MiniLM loses 2.8 points on SST-2, so .2, in the same time.
        how = {"per_channel": True, "reduce_range": True}
        quantize_dynamic(str(graph), str(made), weight_type=QuantType.QInt8, **how)
        _write(path, made.read_bytes())


def _session(graph: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    taken = {one.name for one in session.get_inputs()}

    def run(encoded: dict[str, NDArray[np.int64]]) -> list[Array]:
        found: list[Array] = session.run(None, {k: v for k, v in encoded.items() if k in taken})
        return found

    return run


def softmax(odds: Array) -> NDArray[np.float64]:
    """As probabilities that sum to 1."""
    shares = np.exp(odds.astype(np.float64) - odds.max())
    return np.asarray(shares / shares.sum(), np.float64)


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread a pass, as all here
