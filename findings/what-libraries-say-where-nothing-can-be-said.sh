#!/bin/sh
# Krippendorff's alpha of votes that are all alike is not defined: nothing tells agreement from chance. Three libraries
# give three answers: krippendorff 0.8.1 a ValueError (NaN where it is told of a second label that nobody gave), nltk
# 3.9.1 the number 1, simpledorff 0.0.2 a ZeroDivisionError. A page that shows what comes out shows "perfect" for
# validators who press one key. And statsmodels 0.15.0's interval of Jeffreys for 0 of 10 begins above the 0 that was
# observed, while its Wilson and exact intervals of 0 of 0 are NaN.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check \
    krippendorff==0.8.1 nltk==3.9.1 simpledorff==0.0.2 statsmodels==0.15.0
cd "$work"
cat >say.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import krippendorff
import pandas as pd
import simpledorff
from nltk.metrics.agreement import AnnotationTask
from statsmodels.stats.proportion import proportion_confint


def say(name, expected, ask):
    try:
        answer = str(ask())
    except Exception as error:
        answer = type(error).__name__
    print(f"{name}: {answer}")
    if answer != expected:
        raise SystemExit(f"it was {expected}: this has changed")


votes, people, items = "a", "xy", range(3)
table = [[1, 1, 1], [1, 1, 1]]
nominal = {"level_of_measurement": "nominal"}
say("krippendorff", "ValueError", lambda: krippendorff.alpha(table, **nominal))
say(
    "krippendorff, told of a second label",
    "nan",
    lambda: krippendorff.alpha(table, value_domain=[1, 2], **nominal),
)
said = [(who, item, votes) for who in people for item in items]
say("nltk", "1", lambda: AnnotationTask(data=said).alpha())
frame = pd.DataFrame(said, columns=["who", "item", "label"])
say(
    "simpledorff",
    "ZeroDivisionError",
    lambda: simpledorff.calculate_krippendorffs_alpha_for_df(
        frame, experiment_col="item", annotator_col="who", class_col="label"
    ),
)
low, _ = proportion_confint(0, 10, method="jeffreys")
say("statsmodels, Jeffreys, 0 of 10 begins above 0", "True", lambda: bool(low > 0))
say(
    "statsmodels, Wilson and exact, 0 of 0",
    "[nan, nan]",
    lambda: [float(proportion_confint(0, 0, method=one)[0]) for one in ("wilson", "beta")],
)
PY
venv/bin/python say.py
