#!/bin/sh
# The Adversarial Robustness Toolbox 1.20.1 logs "Success rate of FGM attack: 0.00%" for every one-step attack as it is
# set up by default, whatever the attack does: the rate is only computed where several random beginnings are asked for.
# Its `compute_success` says that it goes by "correct labels", and counts predictions that differ from the model's own:
# an attack that turns wrong answers into right ones is a success of 100 %. A robustness report that takes either
# figure over is wrong; ask the model about the changed inputs and compare with the labels.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check adversarial-robustness-toolbox==1.20.1 \
    numpy==2.4.6 scikit-learn==1.9.0 packaging==25.0
cat >"$work/attack.py" <<'PY'
import io
import logging

import numpy as np
from art.attacks.evasion import FastGradientMethod
from art.estimators.classification import SklearnClassifier
from art.utils import compute_success
from sklearn.linear_model import LogisticRegression

heard = io.StringIO()
logging.getLogger("art").addHandler(logging.StreamHandler(heard))
logging.getLogger("art").setLevel(logging.INFO)

rng = np.random.default_rng(0)
x = np.concatenate([rng.normal(0.4, 0.05, (50, 2)), rng.normal(0.6, 0.05, (50, 2))]).astype(np.float32)
y = np.repeat([0, 1], 50)
known = SklearnClassifier(LogisticRegression(C=1000.0).fit(x, y), clip_values=(0.0, 1.0))


def right(some):
    return int((known.predict(some).argmax(1) == y).sum())


changed = FastGradientMethod(known, eps=0.3).generate(x, y)
(said,) = [line for line in heard.getvalue().splitlines() if "Success rate" in line]
print("read right before and after:", right(x), right(changed))
print("logged:", said)

# The labels the wrong way round: all of the model's answers are wrong, and the attack makes them right.
labels = np.eye(2)[1 - y]
wrong = int((known.predict(x).argmax(1) != labels.argmax(1)).sum())
mended = int((known.predict(changed).argmax(1) == labels.argmax(1)).sum())
print(f"wrong before: {wrong}, right after: {mended}, compute_success: {compute_success(known, x, labels, changed):.2f}")
PY
"$work/venv/bin/python" "$work/attack.py" | tee "$work/seen"
grep -q "^read right before and after: \(9[5-9]\|100\) [0-5]$" "$work/seen" &&
    grep -qx "logged: Success rate of FGM attack: 0.00%" "$work/seen" &&
    grep -q "^wrong before: .*, right after: \(9[5-9]\|100\), compute_success: \(0.9[5-9]\|1.00\)$" "$work/seen" ||
    { echo "This has changed."; exit 1; }
echo "All answers fell; the log says 0.00%, and making wrong answers right is called a success."
