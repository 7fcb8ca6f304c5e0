"""Independent servers of models, asked through our backends: `python -m benchmarks.model_servers`.

    --mlserver VENV      with mlserver==1.7.1
    --kserve VENV        with kserve==0.21.0
    --transformers VENV  with transformers[serving]==5.24.0

Each is started, asked for both kinds of output (or for a turn, whole and in pieces, of a small
chat checkpoint made here), asked 200 times for its rate, and stopped. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kinds import kind_named
from ml import remote
from ml.backends import Failed, Source, open_model
from ml.backends.chat import Chat, ChatOptions
from tests.services import free_port

MLSERVER = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse

class Moods(MLModel):
    async def load(self):
        return True

    async def predict(self, asked):
        texts = StringCodec.decode_input(asked.inputs[0])
        shares = np.array([[.2, .8] if "good" in text else [.9, .1] for text in texts], "float32")
        said = ["positive" if row[1] > .5 else "negative" for row in shares]
        outputs = [
            NumpyCodec.encode_output("shares", shares), StringCodec.encode_output("said", said)
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""
KSERVE = """
import sys
from kserve import InferOutput, InferResponse, Model, ModelServer

class Moods(Model):
    def load(self):
        self.ready = True
        return True

    async def predict(self, asked, headers=None, **_):
        text = asked.inputs[0].data[0]
        share = .8 if "good" in (text.decode() if isinstance(text, bytes) else text) else .1
        said = ["positive" if share > .5 else "negative"]
        outputs = [
            InferOutput(name="shares", shape=[1, 2], datatype="FP32", data=[1 - share, share]),
            InferOutput(name="said", shape=[1], datatype="BYTES", data=said),
        ]
        return InferResponse(asked.id, "moods", outputs)

model = Moods("moods")
model.load()
ModelServer(http_port=int(sys.argv[1]), workers=1, enable_grpc=False).start([model])
"""
CHAT = """
import sys, torch, transformers
from tokenizers import Tokenizer, models, pre_tokenizers
words = "<unk> <s> </s> positive negative a good bad day user assistant :".split()
made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
)
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}assistant :"
)
tokenizer.save_pretrained(sys.argv[1])
torch.manual_seed(0)
shape = transformers.LlamaConfig(
    vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=2,
)
transformers.LlamaForCausalLM(shape).save_pretrained(sys.argv[1])
"""
READY = 240.0  # seconds: they import a great deal
ASKED = 200


@contextmanager
def running(command: list[str], folder: Path, ready: str) -> Iterator[float]:
    """Seconds until a server of this command was ready."""
    log = (folder / "server.log").open("w")
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        while True:
            with suppress(OSError):
                urllib.request.urlopen(ready, timeout=5).close()
                break
            if process.poll() is not None or time.monotonic() > began + READY:
                raise SystemExit((folder / "server.log").read_text()[-2_000:])
            time.sleep(0.5)
        yield round(time.monotonic() - began, 1)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def asked(port: int) -> dict[str, Any]:
    """What a v2 server's model says, both ways, and how often a second."""
    parse = kind_named("text").parse
    texts = [parse({"text": text}) for text in ("a good day", "a bad day")]
    told: dict[str, Any] = {}
    for output in ({"probabilities": "shares"}, {"label": "said"}):
        config = {
            "url": f"http://127.0.0.1:{port}",
            "model": "moods",
            "labels": ["negative", "positive"],
            "inputs": {"text": "INPUT"},
            **output,
        }
        model = open_model("open_inference", Source(None, "", config))
        told[next(iter(output))] = [
            [answer.label, answer.probabilities] for answer in model.answer(texts)
        ]
        began = time.perf_counter()
        for _ in range(ASKED // 2):
            model.answer(texts)
        told["a_second"] = round(ASKED / (time.perf_counter() - began))
    return told


def talked(port: int, model: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    options = {"url": f"http://127.0.0.1:{port}/v1", "model": model, "max_tokens": 6, "seconds": 60}
    chat = Chat(ChatOptions.model_validate(options))
    pieces: list[str] = []
    said = [{"role": "user", "content": "a good day"}]
    for name, turn in (
        ("whole", chat.turn(said)),
        ("streamed", asyncio.run(chat.aloud(said, pieces.append))),
    ):
        told[name] = [turn.content, turn.finish_reason, turn.tokens]
    told["pieces"] = len(pieces)
    backend = open_model("chat", Source(None, "", {**options, "labels": ["negative", "positive"]}))
    try:
        told["label"] = backend.answer([kind_named("text").parse({"text": "a good day"})])[0].label
    except Failed as failed:  # a net of made-up weights says what it likes
        told["label"] = str(failed)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name in ("mlserver", "kserve", "transformers"):
        parser.add_argument(f"--{name}", type=Path, metavar="VENV")
    given = parser.parse_args()
    remote.configure(allowed=lambda: ["127.0.0.1"], unseal=lambda sealed: sealed)
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch), free_port()
        v2 = f"http://127.0.0.1:{port}/v2/models/moods/ready"
        if given.mlserver:
            (folder / "moods.py").write_text(MLSERVER)
            model = {"name": "moods", "implementation": "moods.Moods"}
            (folder / "model-settings.json").write_text(json.dumps(model))
            ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
            (folder / "settings.json").write_text(json.dumps({**ports, "parallel_workers": 0}))
            command = [str(given.mlserver / "bin/mlserver"), "start", "."]
            with running(command, folder, v2) as seconds:
                report["mlserver"] = {"ready_s": seconds, **asked(port)}
        if given.kserve:
            (folder / "kserve_moods.py").write_text(KSERVE)
            command = [str(given.kserve / "bin/python"), "kserve_moods.py", str(port)]
            with running(command, folder, v2) as seconds:
                report["kserve"] = {"ready_s": seconds, **asked(port)}
        if given.transformers:
            made = folder / "chat"
            python = str(given.transformers / "bin/python")
            subprocess.run([python, "-c", CHAT, str(made)], check=True, stderr=subprocess.DEVNULL)
            program = str(given.transformers / "bin/transformers")
            command = [program, "serve", "--host", "127.0.0.1", "--port", str(port)]
            with running(command, folder, f"http://127.0.0.1:{port}/health") as seconds:
                report["transformers"] = {"ready_s": seconds, **talked(port, str(made))}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
