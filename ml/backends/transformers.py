"""Encoders in the form of Hugging Face's library: of texts, of pairs, of passages with a question.

A folder with a configuration, a tokenizer and safetensors, or a hub's id at a revision. What the
library does in silence is an error here: a head that the file lacks, a tokenizer without words,
labels without names. Where it can, ONNX Runtime runs the graph: twice as fast on one thread. Texts
are asked one by one: padded to a stranger's length they take three times as long.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Options, Source, answers_of
from ml.files import written_whole
from ml.remote import require_allowed

SUFFIXES: Final = (".folder",)
FILE_OPTIONAL: Final = True
NAMES_LABELS: Final = True
PAIR: Final = ("context", "hypothesis")
HUB: Final = "huggingface.co"
LONGEST: Final = 512
LONGEST_ANSWER: Final = 30  # tokens
OVERLAP: Final = 64  # tokens that two windows of a passage share
TOLERANCE: Final = 1e-4  # between a graph's probabilities and the net's
GRAPH, SMALL_GRAPH = "graph.onnx", "graph-int8.onnx"
READ: Final = {".json", ".txt", ".safetensors", ".model", ".jinja"}  # nothing in them is run
PICKLES: Final = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
Logits = Callable[[dict[str, NDArray[np.int64]]], list[Array]]


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


def pack(folder: Path) -> bytes:
    """A checkpoint's folder as one file: what is read of it, and nothing that could be run."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        pickled = [path.name for path in files if path.suffix in PICKLES]
        why = f" It has {pickled[0]}, which would be run, and is not." if pickled else ""
        raise ArtifactError(
            f"{folder.name} has no safetensors.{why} Save the model with `save_pretrained`."
        )
    members = {path.name: path.read_bytes() for path in files if path.suffix in READ}
    return artifacts.zipped(members)


def load(source: Source) -> Backend:
    """The folder of the registration, or the hub's at its revision, tried before it is believed."""
    if find_spec("transformers") is None:
        raise ArtifactError(
            "This server has no transformers: start it with `bin/serve --with transformers`."
        )
    options = Transformers.model_validate(
        {name: source.config[name] for name in Transformers.model_fields if name in source.config}
    )
    folder = _folder_of(source, options)
    # Warnings of the library stand on the page of the model that it is about, or nowhere.
    from transformers import logging as library

    library.set_verbosity_error()
    tokenizer = _tokenizer(folder)
    if source.config.get("kind"):
        return PassageReader(folder, tokenizer, options)
    return Classifier(folder, tokenizer, options, source.config)


def _folder_of(source: Source, options: Transformers) -> Path:
    """Where its files lie unpacked, once for all processes: not among what a backup takes."""
    if options.hub is not None:
        require_allowed(HUB, 443)
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(options.hub, revision=options.revision))
        except Exception as error:  # of a dozen classes
            raise ArtifactError(f"{options.hub} cannot be fetched: {error}") from error
    data = artifacts.checked_bytes(source.file, source.sha256)
    home = source.file.parent.parent / "unpacked" / source.file.stem
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


def _tokenizer(folder: Path) -> Any:
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


class _Encoder:
    """A checkpoint and its tokenizer: from texts to logits, one at a time, on one thread."""

    at_once = 1

    def __init__(self, folder: Path, tokenizer: Any, options: Transformers, kind: str) -> None:
        self._tokenizer = tokenizer
        net = _read_net(folder, kind)
        self._config = net.config
        room = getattr(net.config, "max_position_embeddings", LONGEST)
        # RoBERTa's kin count positions from after the padding's.
        room -= 2 * ("roberta" in net.config.model_type)
        self.max_tokens = min(options.max_tokens, tokenizer.model_max_length, room)
        sample = dict(tokenizer("One text.", "Another one, longer.", return_tensors="np"))
        self.names = [
            name for name in sample if name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        self._logits = _runtime(net, folder, sample, self.names, int8=options.int8)

    def logits(self, encoded: dict[str, Any]) -> list[Array]:
        return self._logits({name: np.asarray(encoded[name], np.int64) for name in self.names})


class Classifier(_Encoder):
    """Texts and pairs to labels, by name."""

    def __init__(self, folder: Path, tokenizer: Any, options: Transformers, config: Any) -> None:
        super().__init__(folder, tokenizer, options, "SequenceClassification")
        named = self._config.id2label
        self.labels = tuple(str(named[place]) for place in range(len(named)))
        given = tuple(config.get("labels", ()))
        if given and set(given) != set(self.labels):
            raise ArtifactError(
                f"The model's own labels are {', '.join(self.labels)}: under `labels:` name each "
                "of them, with the task's label that it stands for."
            )
        self._many = self._config.problem_type == "multi_label_classification"
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
            f"It reads {self.max_tokens:,} tokens; of a longer text the end is cut, of a pair the "
            "end of the context.",
        )

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._answer(one.features) for one in inputs]

    def _answer(self, features: Any) -> Answer:
        (logits,) = self.logits(self._encoded(features))
        row = logits[0]
        shares = 1 / (1 + np.exp(-row)) if self._many else _softmax(row)
        return answers_of(self.labels, shares[None].astype(np.float32))[0]

    def _encoded(self, features: Any) -> dict[str, Any]:
        cut: bool | str = True
        if isinstance(features, dict) and all(name in features for name in PAIR):
            # A tuple would be read as the premise alone, in silence.
            (text, pair), cut = (features[name] for name in PAIR), "only_first"
        elif isinstance(features, dict) and isinstance(features.get("text"), str):
            text, pair = features["text"], None
        else:
            raise ValueError("it reads texts and pairs of texts")
        how: dict[str, Any] = {"max_length": self.max_tokens, "return_tensors": "np"}
        try:
            return dict(self._tokenizer(text, pair, truncation=cut, **how))
        except Exception:  # noqa: BLE001  (a hypothesis leaves no room for the context: both are cut)
            return dict(self._tokenizer(text, pair, truncation=True, **how))


class PassageReader(_Encoder):
    """A question and a passage to the likeliest span of it; the library has no such pipeline."""

    labels = ()

    def __init__(self, folder: Path, tokenizer: Any, options: Transformers) -> None:
        super().__init__(folder, tokenizer, options, "QuestionAnswering")
        self.remarks = (
            f"It reads a passage in windows of {self.max_tokens:,} tokens.",
            "It gives no probabilities.",
        )

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [Answer(self._found(one.features)) for one in inputs]

    def _found(self, content: Any) -> dict[str, Any]:
        if not isinstance(content, dict) or "question" not in content:
            raise ValueError("it answers questions about passages")
        passage = content["context"]
        half = self.max_tokens // 2  # a question takes no more, so that a passage has room
        question = self._tokenizer.decode(
            self._tokenizer(content["question"], truncation=True, max_length=half)["input_ids"],
            skip_special_tokens=True,
        )
        windows = self._tokenizer(
            question,
            passage,
            truncation="only_second",
            max_length=self.max_tokens,
            stride=min(OVERLAP, self.max_tokens // 8),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best, found = -np.inf, (0, 0)
        for place in range(len(windows["input_ids"])):
            encoded = {name: [windows[name][place]] for name in self.names}
            starts, ends = (row[0] for row in self.logits(encoded)[:2])
            inside = [at for at, of in enumerate(windows.sequence_ids(place)) if of == 1]
            score, first, last = best_span(starts, ends, inside)
            offsets = windows["offset_mapping"][place]
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


def _read_net(folder: Path, kind: str) -> Any:
    """The net, as float32 and in its mode for answering; what its file lacks is an error."""
    import torch
    import transformers

    try:
        net, told = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(
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
    if lacking:
        raise ArtifactError(
            f"The model's file lacks {', '.join(lacking[:4])}: that part would be made up anew at "
            "each start. Save the model after it was trained for this, with its head."
        )
    return net.eval()


def _runtime(
    net: Any, folder: Path, sample: dict[str, Any], names: Sequence[str], *, int8: bool
) -> Logits:
    """ONNX Runtime where its graph says what the net says, else torch; the graph is kept."""
    plain = _torch_logits(net)
    try:
        graph = folder / GRAPH
        if not graph.exists():
            _export(net, graph, sample, names)
        whole = _session(graph)
        expected = plain({name: np.asarray(sample[name], np.int64) for name in names})
        found = whole({name: np.asarray(sample[name], np.int64) for name in names})
        apart = max(
            float(np.abs(one - other).max()) for one, other in zip(expected, found, strict=True)
        )
        if apart > TOLERANCE:
            raise ArtifactError(f"The graph is {apart:g} off the net.")
        if not int8:
            return whole
        small = folder / SMALL_GRAPH
        if not small.exists():
            _quantise(graph, small)
        return _session(small)
    except Exception:  # whatever the exporter meets, torch can serve the net
        if int8:
            raise ArtifactError(
                "No int8 graph can be made of this model: leave `int8` out."
            ) from None
        logger.warning("a checkpoint has no ONNX graph: torch serves it", exc_info=True)
        return plain


def _torch_logits(net: Any) -> Logits:
    import torch

    from ml.backends.torch import one_torch_thread

    def run(encoded: dict[str, NDArray[np.int64]]) -> list[Array]:
        with one_torch_thread(), torch.inference_mode():
            told = net(**{name: torch.from_numpy(array) for name, array in encoded.items()})
        return [told[name].numpy() for name in _OUTPUTS if name in told]

    return run


_OUTPUTS: Final = ("logits", "start_logits", "end_logits")


def _export(net: Any, path: Path, sample: dict[str, Any], names: Sequence[str]) -> None:
    """The graph of a net over any length, by the older exporter, whose graphs are faster."""
    import warnings

    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, *arrays: Any) -> Any:
            told = self.net(**dict(zip(names, arrays, strict=True)))
            return tuple(told[name] for name in _OUTPUTS if name in told)

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Path(scratch) / path.name
        torch.onnx.export(
            Logits().eval(),  # else the net is left in its mode for training, with its dropout
            tuple(torch.from_numpy(np.asarray(sample[name], np.int64)) for name in names),
            str(made),
            input_names=list(names),
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
            opset_version=17,
            dynamo=False,
        )
        with written_whole(path) as out:
            out.write(made.read_bytes())


def _quantise(graph: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / path.name
        quantize_dynamic(str(graph), str(made), weight_type=QuantType.QInt8)
        with written_whole(path) as out:
            out.write(made.read_bytes())


def _session(graph: Path) -> Logits:
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


def _softmax(row: Array) -> Array:
    shares = np.exp(row.astype(np.float64) - row.max())
    return np.asarray(shares / shares.sum(), np.float64)


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread a pass, as all here
