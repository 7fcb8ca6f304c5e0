"""Grouping of foolings in a space: what falls apart again and again, and whose neighbours count."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kinds import kind_named
from ml import artifacts
from ml.backends import Source, open_model
from ml.regions import alike, nearest, numbered, regions_of, shared_words
from ml.regions.spaces import NoSpace, space_of
from tests.cast import DIGITS, SHIPPED, drawing

pytestmark = pytest.mark.once


def test_a_pair_falls_apart_where_it_does_so_again_and_small_pairs_are_left_out() -> None:
    random = np.random.default_rng(7)
    centres = np.repeat([[0, 0], [9, 0]], 8, axis=0)
    apart = centres + random.normal(size=(16, 2))
    one = random.normal((0, 30), size=(12, 2))
    few = random.normal(size=(4, 2))
    vectors = np.concatenate([apart, one, few]).astype(np.float32)
    pairs = [("2", "7")] * 16 + [("4", "9")] * 12 + [("1", "8")] * 4

    found = regions_of(pairs, vectors, seed=0)

    assert found == [list(range(16, 28)), list(range(8)), list(range(8, 16))]
    assert regions_of(pairs, vectors, seed=0) == found
    labels = numbered(found, 32)
    assert labels[-4:] == [-1] * 4
    assert alike(labels, numbered(regions_of(pairs, vectors, seed=1), 32)) == 1


def test_nobody_s_own_examples_are_near_and_other_members_are() -> None:
    vectors = np.array([[0], [0.1], [0.2], [1], [5], [6]], np.float32)
    authors = ["ada", "ada", "bob", "cyd", "ada", "bob"]

    assert set(nearest([0, 1, 2], vectors, authors, count=1)) == {1, 2}
    assert nearest([0], vectors, authors) == [2, 3, 5]
    assert nearest([0], vectors, ["ada"] * 6) == []


def test_the_digits_net_has_inputs_where_it_tells_their_labels_apart() -> None:
    torch = pytest.importorskip("torch")
    from ml.learners.digits.net import read_weights

    shipped = json.loads((SHIPPED / "model.json").read_text())
    source = Source(SHIPPED / shipped["artifact"], shipped["sha256"], {"labels": DIGITS})
    inputs = [kind_named("image").parse(drawing(seed)) for seed in range(5)]

    space = space_of(source, inputs, [None] * 5)

    net = read_weights(artifacts.load(source.file, source.sha256))
    with torch.inference_mode():
        said = net.fc2(torch.from_numpy(space.vectors)).argmax(dim=1).tolist()
    assert space.vectors.shape == (5, 50)
    assert [DIGITS[place] for place in said] == [
        answer.label for answer in open_model("onnx", source).answer(inputs)
    ]


def test_without_a_net_of_ours_inputs_lie_as_they_are_and_texts_by_their_words() -> None:
    unknown = Source(None, "0" * 64, {})
    images = [kind_named("image").parse(drawing(seed)) for seed in range(3)]
    assert space_of(unknown, images, [None] * 3).vectors.shape == (3, 28 * 28)

    said = ["the plot is thin", "a thin plot", "good food here", "here is good food"]
    texts = [kind_named("text").parse({"text": text}) for text in said]
    plot, thin, food, here = space_of(unknown, texts, said).vectors
    assert plot @ thin > 0.5 > plot @ food
    assert food @ here > 0.5
    with pytest.raises(NoSpace):
        space_of(unknown, texts, [None] * 4)
    told = shared_words(said[:2], said[2:])
    assert told["words"] == [["plot", 1, 0], ["thin", 1, 0], ["a", 0.5, 0], ["the", 0.5, 0]]
    assert told["length"] == [3.5, 3.5]
