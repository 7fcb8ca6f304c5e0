"""Pairs of texts with one label: as tuned texts are, from files with a column more."""

from __future__ import annotations

from typing import Final

from ml.backends.transformers import PAIR
from ml.learners.tuned_texts import TunedTexts


class TunedPairs(TunedTexts):
    """The learner."""

    name = "tuned_pairs"
    kind = "text_pair"
    fields = PAIR


LEARNER: Final = TunedPairs()
