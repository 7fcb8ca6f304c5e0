#!/bin/sh
# transformers 5.24's own server of chat completions takes a request's `temperature`, `top_p` and `seed`, answers 200, and decodes
# greedily all the same, unless the checkpoint's own generation config has `do_sample`: the request sets a temperature and nothing
# switches sampling on. So forty answers at temperature 2 under forty seeds are one answer, as at 0. A checkpoint that differs in
# that one line varies. Whoever records "temperature 0.7, seed 7" beside what such a server said records what did not happen.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check 'transformers[serving]==5.24.0' torch==2.13.0 2>/dev/null
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PY'
import json, socket, subprocess, sys, time, urllib.request
import torch, transformers
from tokenizers import Tokenizer, models, pre_tokenizers

words = "<unk> <s> </s> one two three four five six seven eight nine user assistant :".split()
made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
)
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}assistant :"
)
torch.manual_seed(0)
net = transformers.LlamaForCausalLM(transformers.LlamaConfig(
    vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=2,
))
for name, samples in (("plain", False), ("sampling", True)):
    net.generation_config.do_sample = samples
    net.save_pretrained(name)
    tokenizer.save_pretrained(name)

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
program = f"{sys.prefix}/bin/transformers"
command = [program, "serve", "--host", "127.0.0.1", "--port", str(port)]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL)


def ask(model, temperature, seed):
    body = {
        "model": model, "messages": [{"role": "user", "content": "one two three"}],
        "temperature": temperature, "seed": seed, "max_tokens": 12,
    }
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(), {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


try:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            break
        except OSError:
            time.sleep(0.5)
    found = {}
    for model in ("plain", "sampling"):
        for temperature in (0, 2):
            said = {ask(f"./{model}", temperature, seed) for seed in range(40)}
            found[model, temperature] = len(said)
            print(f"{model:9} temperature {temperature}: {len(said):2} different answers of 40")
finally:
    server.kill()
if found["plain", 2] != 1:
    raise SystemExit("a temperature is heeded, or refused: this has changed")
if found["sampling", 2] < 20 or found["sampling", 0] != 1:
    raise SystemExit("the checkpoint that samples does not: this has changed")
PY
