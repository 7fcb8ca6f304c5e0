"""Checkpoints of Hugging Face's library, made here and now; with `bin/serve --with transformers`.

What the library does in silence is refused with its sentence, and the right thing answers.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from kinds import Prepared, kind_named
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Backend, Source, open_model
from ml.backends.transformers import best_span, pack, received
from ml.encoders import read_net
from ml.model_checks import check

pytestmark = [pytest.mark.once, pytest.mark.slow]

_WORDS = """
[PAD] [UNK] [CLS] [SEP] [MASK] this is a text like any other , and the words in it are common . was
wonderful dreadful man sleeps somebody rests he runs ann met bob rome who where did they ?
"""
WORDS = _WORDS.split()
MOODS = ("NEGATIVE", "POSITIVE")


def tokenizer() -> Any:
    """BERT's, of forty words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    places = {word: place for place, word in enumerate(WORDS)}
    made = Tokenizer(models.WordPiece(places, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = dict(zip(("pad", "unk", "cls", "sep", "mask"), WORDS, strict=False))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": word for name, word in special.items()},
    )


def save(folder: Path, kind: str = "ForSequenceClassification", **config: Any) -> Path:
    """A tiny checkpoint with its tokenizer."""
    folder.mkdir()
    torch.manual_seed(3)
    tokenizer().save_pretrained(folder)
    shape = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64, **{"initializer_range": 1.0, **config},
    )  # fmt: skip
    net = getattr(transformers, f"Bert{kind}")(shape)
    net.train()  # as it is after training: its dropout is on
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = dict(enumerate(MOODS))
    return save(tmp_path_factory.mktemp("made") / "moods", id2label=named)


@pytest.fixture
def altered(moods: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the checkpoint without some files, its config changed."""

    def alter(*without: str, **config: Any) -> Path:
        folder = tmp_path / "altered"
        shutil.copytree(moods, folder)
        for pattern in without:
            for path in folder.glob(pattern):
                path.unlink()
        told = json.loads((folder / "config.json").read_text())
        told = {k: v for k, v in {**told, **config}.items() if v is not None}
        (folder / "config.json").write_text(json.dumps(told))
        return folder

    return alter


def opened(folder: Path, **config: Any) -> Backend:
    path = artifacts.keep(pack(folder), folder.parent / "artifacts", ".folder")
    return open_model("transformers", Source(path, path.stem, config))


def prepared(kind: str, **fields: str) -> Prepared:
    return kind_named(kind).parse(fields)


def test_a_checkpoint_answers_as_its_net_does_and_always_the_same(moods: Path) -> None:
    backend = opened(moods)
    report = check(
        lambda: opened(moods),
        [kind_named("text").parse(probe) for probe in kind_named("text").probes],
        MOODS,
    )
    assert report["tells_probes_apart"]
    assert report["again"] == report["company"] == 0
    text = "a wonderful text"
    net = transformers.AutoModelForSequenceClassification.from_pretrained(moods).eval()
    read = transformers.AutoTokenizer.from_pretrained(moods)
    with torch.inference_mode():
        expected = net(**read(text, return_tensors="pt")).logits.softmax(-1)[0]
    (answer,) = backend.answer([prepared("text", text=text)])
    found = [answer.probabilities[name] for name in MOODS]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert answer.label == MOODS[int(expected.argmax())]
    long = backend.answer([prepared("text", text=f"{text} " * 500)])
    assert long[0].probabilities
    assert any("62 tokens" in r or "64 tokens" in r for r in report["remarks"])


def test_a_pair_is_read_whole_and_a_long_context_cut(tmp_path: Path) -> None:
    folder = save(tmp_path / "pairs", id2label={0: "C", 1: "N", 2: "E"})
    backend = opened(folder)
    one, other, long = backend.answer(
        [
            prepared("text_pair", context="a man sleeps", hypothesis="somebody rests"),
            prepared("text_pair", context="a man sleeps", hypothesis="he runs"),
            prepared("text_pair", context="a man sleeps " * 90, hypothesis="he runs"),
        ]
    )
    assert one.probabilities != other.probabilities, "not the premise alone"
    assert long.probabilities != other.probabilities


# In which order published families of inference models have their labels, and how they spell them.
FAMILIES = {
    "roberta-large-mnli": ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
    "bart-large-mnli": ["contradiction", "neutral", "entailment"],
    "deberta-large-mnli": ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
    "anli-roberta": ["entailment", "neutral", "contradiction"],
    "moritz-deberta": ["entailment", "neutral", "contradiction"],
    "cross-encoder": ["contradiction", "entailment", "neutral"],
    "entailed": ["Entailed", "Neutral", "Contradict"],
}
HERE = {"con": "contradiction", "neu": "neutral", "ent": "entailment"}


def test_seven_orders_and_spellings_mean_the_same_by_name(tmp_path: Path) -> None:
    """One net whose third output always wins: what that means is told by each family's names."""
    folder = save(tmp_path / "family", id2label={0: "a", 1: "b", 2: "c"})
    net = transformers.BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        net.classifier.bias[2] = 50
    net.save_pretrained(folder)
    probes = [kind_named("text_pair").parse(probe) for probe in kind_named("text_pair").probes]
    for family, order in FAMILIES.items():
        told = json.loads((folder / "config.json").read_text())
        told["id2label"] = dict(enumerate(order))
        told["label2id"] = {name: place for place, name in enumerate(order)}
        (folder / "config.json").write_text(json.dumps(told))
        names = {name: HERE[name[:3].lower()] for name in order}
        backend = opened(folder, labels=list(names), names=names)
        assert set(backend.labels) == set(HERE.values()), family
        assert {one.label for one in backend.answer(probes)} == {names[order[2]]}, family
    with pytest.raises(ArtifactError, match="own labels are Entailed, Neutral, Contradict"):
        opened(folder, labels=["entailment", "neutral", "contradiction"])


def test_the_next_process_opens_what_one_has_tried_without_torch(
    moods: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [prepared("text", text=words) for words in ("a wonderful text", "he runs " * 90)]
    expected = opened(moods).answer(texts)

    def loads(*_: Any) -> Any:
        raise AssertionError("the library is loaded")

    monkeypatch.setattr("ml.encoders.read_net", loads)
    monkeypatch.setattr("ml.encoders.read_tokenizer", loads)
    assert opened(moods).answer(texts) == expected


def test_half_as_many_digits_are_read_as_whole_numbers(tmp_path: Path) -> None:
    folder = save(tmp_path / "half", id2label=dict(enumerate(MOODS)))
    net = transformers.BertForSequenceClassification.from_pretrained(folder)
    net.half().save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    assert read_net(folder, "ForSequenceClassification").dtype == torch.float32


def test_what_would_be_run_is_named(altered: Callable[..., Path]) -> None:
    folder = altered("*.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"It has pytorch_model\.bin, which would be run"):
        pack(folder)


def test_a_checkpoint_travels_as_a_zip(moods: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "sent"), "zip", moods.parent, moods.name)
    data = (tmp_path / "sent.zip").read_bytes()
    assert received(data) == pack(moods)
    with pytest.raises(ArtifactError, match="as a zip"):
        received(b"no zip")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    (tmp_path / "bare" / "model.pkl").write_bytes(b"")
    shutil.make_archive(str(tmp_path / "bare"), "zip", tmp_path / "bare")
    with pytest.raises(ArtifactError, match=r"no safetensors\. It has model\.pkl"):
        received((tmp_path / "bare.zip").read_bytes())


def test_why_is_told_word_by_word_and_adds_up(moods: Path) -> None:
    backend = opened(moods)
    one = prepared("text", text="It was a wonderful, dreadful text.")
    (answer,) = backend.answer([one])
    why = backend.why(one, answer.label)
    words = [one.features["text"][piece.start : piece.end] for piece in why.pieces]
    assert words == ["It", "was", "a", "wonderful", ",", "dreadful", "text", "."]
    assert any(abs(piece.weight) > 0.01 for piece in why.pieces)
    assert why.off is not None
    assert why.off < 0.1
    pairs = opened(save(moods.parent / "explained", id2label={0: "C", 1: "N", 2: "E"}))
    pair = prepared("text_pair", context="a man sleeps", hypothesis="he runs")
    told = pairs.why(pair, "N")
    assert [piece.field for piece in told.pieces] == ["context"] * 3 + ["hypothesis"] * 2


@pytest.mark.parametrize(
    ("without", "config", "sentence"),
    [
        (["tokenizer*", "vocab*", "special*"], {}, "tokenizer"),
        (["*.safetensors"], {}, "has no safetensors"),
        (
            [],
            {"num_labels": None, "id2label": {"0": "one"}, "label2id": {"one": 0}},
            "file lacks|gives one number",
        ),
        ([], {"problem_type": "multi_label_classification"}, "do not sum to 1"),
    ],
)
def test_what_loads_in_silence_is_refused(
    altered: Callable[..., Path], without: list[str], config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        opened(altered(*without, **config))


def test_a_missing_head_and_names_that_are_none_are_refused(
    altered: Callable[..., Path], tmp_path: Path
) -> None:
    bare = save(tmp_path / "bare", kind="Model")
    with pytest.raises(ArtifactError, match=r"lacks classifier\.\w+, .* made up anew"):
        opened(bare)
    nameless = altered(id2label=None, label2id=None)
    with pytest.raises(ArtifactError, match="LABEL_0, LABEL_1"):
        check(
            lambda: opened(nameless),
            [kind_named("text").parse(probe) for probe in kind_named("text").probes],
            ["negative", "positive"],
        )


def test_the_likeliest_span_stands_in_the_passage(tmp_path: Path) -> None:
    folder = save(tmp_path / "qa", kind="ForQuestionAnswering")
    backend = opened(folder, kind="passage_qa")
    for passage in ("ann met bob in rome . " * 40, "😀 ann met bob in rome"):
        (answer,) = backend.answer(
            [prepared("passage_qa", context=passage, question="who met bob ?")]
        )
        start, text = answer.label["start"], answer.label["text"]
        assert text
        assert passage[start : start + len(text)] == text


def test_a_span_does_not_end_before_it_begins_nor_go_on_for_ever() -> None:
    starts, ends = np.zeros(100, np.float32), np.zeros(100, np.float32)
    starts[60], ends[10], ends[99], ends[62] = 9, 9, 8, 5
    assert best_span(starts, ends, range(1, 100))[1:] == (60, 62)
    assert best_span(starts, ends, range(1, 50))[1:] == (1, 10)


def test_int8_is_asked_alone_and_says_nearly_the_same(moods: Path) -> None:
    whole, small = opened(moods), opened(moods, int8=True)
    texts = [prepared("text", text=text) for text in ("a wonderful text", "he runs and sleeps")]
    for one, other in zip(whole.answer(texts), small.answer(texts), strict=True):
        assert one.probabilities != other.probabilities
        assert abs(one.probabilities["POSITIVE"] - other.probabilities["POSITIVE"]) < 0.1
    assert small.at_once == 1


@pytest.mark.django_db
def test_a_folder_is_registered_and_played(moods: Path, owner: Any) -> None:
    from annotate import rounds
    from annotate.config import parse_task_file
    from annotate.registry import ModelFile, register
    from tests import cast

    file = {"slug": "moods", "name": "Moods", "input": "text", "labels": ["negative", "positive"]}
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    asked = ModelFile(
        name="bert", backend="transformers", path=moods.name,
        labels={"NEGATIVE": "negative", "POSITIVE": "positive"},
    )  # fmt: skip
    done = register(task=task, file=asked, folder=moods.parent, actor=owner, open_round=True)
    assert done.check["tells_probes_apart"]
    assert cast.prediction(task, {"text": "it was wonderful"}) in ("negative", "positive")


@pytest.mark.django_db
def test_of_a_hub_comes_what_is_read_once_and_for_good(
    moods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The hub is a folder here; what of it is fetched, the library's own filter says."""
    from huggingface_hub.utils import filter_repo_objects

    from annotate.inference import forget_models
    from annotate.registry import ModelFile, register
    from core.errors import Refused
    from tests import cast

    hub, asked = tmp_path / "hub", []
    shutil.copytree(moods, hub)
    (hub / "onnx").mkdir()
    for planted in ("graph.onnx", "onnx/model.onnx", "onnx/config.json", "weights.bin"):
        (hub / planted).write_bytes(b"as somebody else made it")

    def fetched(name: str, *, revision: str, dry_run: bool = False, **patterns: Any) -> Any:
        asked.append((name, revision, dry_run))
        there = [path for path in hub.rglob("*") if path.is_file()]
        names = [str(path.relative_to(hub)) for path in there]
        wanted = list(filter_repo_objects(names, **patterns))
        if dry_run:
            return [SimpleNamespace(file_size=(hub / one).stat().st_size) for one in wanted]
        for one in wanted:
            (tmp_path / "snapshot").mkdir(exist_ok=True)
            shutil.copy(hub / one, tmp_path / "snapshot" / one)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    settings.MODEL_HOSTS = ["huggingface.co"]
    told = {"name": "bert", "backend": "transformers", "hub": "made/moods", "revision": "0" * 40}
    named = {"labels": {"NEGATIVE": "negative", "POSITIVE": "positive"}}
    with pytest.raises(ValueError, match="one `path` or one `hub`"):
        ModelFile.model_validate({**told, "path": "moods"})
    task = cast.text_task(labels=["negative", "positive"])
    done = register(task=task, file=ModelFile.model_validate(told | named), open_round=True)
    assert {path.name for path in (tmp_path / "snapshot").iterdir()} == {
        path.name for path in moods.iterdir()
    }, "nothing planted, nothing twice"
    assert done.model.sha256 == hashlib.sha256(pack(moods)).hexdigest()
    assert (Path(settings.ARTIFACT_DIR) / done.model.artifact).read_bytes() == pack(moods)
    assert asked == [("made/moods", "0" * 40, True), ("made/moods", "0" * 40, False)]
    forget_models()
    assert cast.prediction(task, {"text": "it was wonderful"})
    assert len(asked) == 2, "kept here"

    monkeypatch.setattr("ml.backends.transformers.MOST_FETCHED", 10)
    with pytest.raises(Refused, match="more than"):
        register(task=task, file=ModelFile.model_validate(told | named | {"name": "larger"}))


def test_the_client_sends_a_folder_as_the_server_takes_it(moods: Path) -> None:
    sendable = pytest.importorskip("dadc_client")._sendable
    suffix, data = sendable(moods)
    assert (suffix, received(data)) == (".folder", pack(moods))
    assert sendable(moods)[1] == data
