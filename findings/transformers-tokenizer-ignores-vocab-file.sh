#!/bin/sh
# transformers 5.24's BertTokenizer and BertTokenizerFast take `vocab_file=`, the argument of version 4, and ignore it
# without a word: the tokenizer then knows the five special tokens and nothing else, so that every word is [UNK]. `vocab=`
# and `from_pretrained` read the same file. A checkpoint saved with such a tokenizer loads, and answers everything alike.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 2>/dev/null
cd "$work"
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' hello world >vocab.txt
"$work/venv/bin/python" - 2>/dev/null <<'PY'
from transformers import BertTokenizer, BertTokenizerFast

for kind in (BertTokenizer, BertTokenizerFast):
    ignored, read = kind(vocab_file="vocab.txt"), kind(vocab="vocab.txt")
    print(kind.__name__, "vocab_file:", len(ignored), ignored.tokenize("hello world"))
    print(kind.__name__, "vocab:     ", len(read), read.tokenize("hello world"))
    if ignored.tokenize("hello world") != ["[UNK]", "[UNK]"] or len(ignored) != 5:
        raise SystemExit("vocab_file is read, or refused: this has changed")
    if read.tokenize("hello world") != ["hello", "world"]:
        raise SystemExit("vocab is not read: this has changed")
PY
