"""Texts a second of an encoder on one thread: ours against the library's own pipeline, in one run.

`python -m benchmarks.encoders [--texts 120]`, with `bin/serve --with transformers` done before. The
net has MiniLM's shape (6 layers, 384 wide) and made-up weights; texts have 5 to 200 tokens and come
in no order.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

from kinds import kind_named  # noqa: E402
from ml import artifacts  # noqa: E402
from ml.backends import Source, open_model  # noqa: E402

COMMON = "This is a text like any other , and the words in it are common ."  # asked at opening
WORDS = [f"word{number}" for number in range(2_000)]


def checkpoint(folder: Path, *, vocab: int = 30_522, width: int = 384, layers: int = 6) -> Path:
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    common = dict.fromkeys([*COMMON.split(), "It", "was", "wonderful", "dreadful"])
    places = {word: place for place, word in enumerate([*special, *common, *WORDS])}
    made = Tokenizer(models.WordPiece(places, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    shape = transformers.BertConfig(
        vocab_size=vocab,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        initializer_range=0.05,
        id2label={0: "negative", 1: "positive"},
    )
    transformers.BertForSequenceClassification(shape).save_pretrained(folder)
    return folder


def per_second(answer: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> tuple[float, Any]:
    answer(texts[:3])
    began = time.perf_counter()
    told = answer(texts)
    return len(texts) / (time.perf_counter() - began), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--texts", type=int, default=120)
    count = parser.parse_args().texts
    import torch
    import transformers

    from ml.backends.transformers import pack

    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    texts = [
        " ".join(rng.choice(WORDS, int(length))) for length in rng.integers(3, 199, size=count)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = checkpoint(Path(scratch) / "net")
        kept = artifacts.keep(pack(folder), Path(scratch), ".folder")
        pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu")
        pipeline.model.eval()
        theirs, told = per_second(lambda some: pipeline(list(some), batch_size=1), texts)
        parse = kind_named("text").parse
        report: dict[str, Any] = {"pipeline": round(theirs, 1)}
        for name, config in (("float32", {}), ("int8", {"int8": True})):
            began = time.perf_counter()
            backend = open_model("transformers", Source(kept, kept.stem, config))
            opened = time.perf_counter() - began
            ours, answers = per_second(
                lambda some, backend=backend: [
                    backend.answer([parse({"text": text})])[0].label for text in some
                ],
                texts,
            )
            same = np.mean(
                [one == other["label"] for one, other in zip(answers, told, strict=True)]
            )
            report[name] = {
                "texts_per_second": round(ours, 1),
                "ratio": round(ours / theirs, 2),
                "same_label_as_pipeline": round(float(same), 3),
                "seconds_to_open": round(opened, 1),
            }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
