"""The digits learner: it learns, repeats itself bit by bit, can be cancelled, exports itself."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from kinds import Prepared
from kinds.image.warps import warp
from ml import artifacts, learners
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.backends import open_model, source_of
from ml.backends.onnx import OnnxBackend
from ml.learners import (
    Base,
    Checkpoint,
    Item,
    Trained,
    learner_named,
    learners_of,
    read_base,
    store_base,
)
from ml.learners.digits import export
from ml.learners.digits.augmentation import Augmentation
from ml.learners.digits.data import Images
from ml.learners.digits.export import (
    export_onnx,
    largest_difference,
    members_of,
    probe_images,
    reference_probabilities,
)
from ml.learners.digits.net import WEIGHTS, DigitNet, Probabilities, read_weights
from ml.learners.digits.training import fine_tune, redraw, train_base

pytestmark = pytest.mark.once
torch.set_num_threads(1)

LABELS = tuple("0123456789")
DIGITS = learner_named("digits")
DIGITS_MODULE = sys.modules["ml.learners.digits"]


SHIPPED = Path(artifacts.__file__).parent.parent / "dadc_server" / "library" / "digits"
MADE = json.loads((SHIPPED / "model.json").read_text())


@pytest.fixture(scope="module")
def clean():
    """What the library's base model was trained on, and what was held out."""
    base = read_base(DIGITS, MADE["config"]["base"], SHIPPED)
    return images_of(base.train), images_of(base.held_out)


@pytest.fixture(scope="module")
def base():
    """The library's base model."""
    return read_weights(artifacts.load(SHIPPED / MADE["artifact"], MADE["sha256"]))


@pytest.fixture(scope="module")
def foolings(base, clean):
    """Rotated training digits that the net misreads, with their true labels."""
    train, _ = clean
    x = warp(train.x, np.random.default_rng(1), ["rotate"])
    fooled = reference_probabilities(base, x).argmax(axis=1) != train.y
    return Images(x[fooled], train.y[fooled], "rotated")


def images_of(items):
    features = np.stack([item.prepared.features for item in items])
    return Images(features, np.array([int(item.label) for item in items]), "clean")


def accuracy(net, images):
    return float((reference_probabilities(net, images.x).argmax(axis=1) == images.y).mean())


def weights(net):
    return torch.cat([parameter.flatten() for parameter in net.parameters()])


def few(images, n=64):
    return images.take(np.arange(n))


def digit_net(seed=1):
    torch.manual_seed(seed)
    return DigitNet()


# --- the registry ---------------------------------------------------------------------------------
def test_a_learner_is_found_by_its_name_and_its_kind():
    assert "digits" in learners.NAMES
    assert DIGITS in learners_of("image")
    assert learners_of("chat") == []
    with pytest.raises(ArtifactError, match="no learner 'letters': they are"):
        learner_named("letters")


def test_versions_of_before_learn_as_digits_and_strangers_do_not():
    assert learners.name_in({"base": {}}) == "digits"
    assert learners.name_in({"base": {}, "learner": "gone"}) is None
    assert learners.name_in({"learner": "digits"}) is None


def test_clean_data_is_read_back_bit_by_bit_or_not_at_all(tmp_path):
    rng = np.random.default_rng(0)
    items = [Item(Prepared("", rng.random((28, 28), np.float32)), "7") for _ in range(5)]
    base = Base(items[:3], items[3:], "random")
    named = store_base(DIGITS, base, tmp_path)
    assert store_base(DIGITS, base, tmp_path) == named
    assert (named["train"], named["held_out"], named["source"]) == (3, 2, "random")
    again = read_base(DIGITS, named, tmp_path)
    for one, other in zip([*again.train, *again.held_out], items, strict=True):
        assert one.prepared.features.tobytes() == other.prepared.features.tobytes()
        assert one.label == "7"
    path = artifacts.keep(b"no data", tmp_path, ".base")
    named = {"file": path.name, "sha256": path.stem}
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_base(DIGITS, named, tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        read_base(DIGITS, named, tmp_path)


# --- training -------------------------------------------------------------------------------------
def test_the_base_model_reads_and_a_new_one_learns_to(base, clean):
    assert accuracy(base, clean[1]) == pytest.approx(MADE["metrics"]["clean"]["accuracy"])
    net, _ = train_base(clean[0], seed=0, epochs=2, copies=1)
    assert accuracy(net, clean[1]) > 0.6
    assert not net.training


def test_the_same_seed_gives_the_same_weights(clean, base, foolings):
    train = few(clean[0])
    one, two, other = (train_base(train, seed=s, epochs=2, copies=1)[0] for s in (7, 7, 8))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))
    one, two = (
        fine_tune(base, train, foolings, seed=7, epochs=1, epoch_images=64)[0] for _ in range(2)
    )
    assert torch.equal(weights(one), weights(two))


@pytest.mark.parametrize("patience", [None, 1])
def test_a_training_that_was_broken_off_goes_on_to_the_same_weights(
    clean, base, foolings, tmp_path, patience
):
    checkpoint = Checkpoint(tmp_path / "run-0.part")
    how = {"seed": 7, "epochs": 4, "epoch_images": 64, "patience": patience, "attacked": 0.2}
    whole, config = fine_tune(base, few(clean[0]), foolings, **how)
    assert config["patience"] == patience

    def be_killed(fraction, _sentence):
        if fraction >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(base, few(clean[0]), foolings, **how, progress=be_killed, checkpoint=checkpoint)
    heard = []
    resumed, _ = fine_tune(
        base, few(clean[0]), foolings, **how, checkpoint=checkpoint,
        progress=lambda fraction, _: heard.append(fraction),
    )  # fmt: skip
    assert heard[:1] in ([0.75], []), "the first two epochs are not learned again"
    assert torch.equal(weights(resumed), weights(whole))


def test_a_first_training_goes_on_to_the_same_weights_too(clean, tmp_path):
    checkpoint, how = Checkpoint(tmp_path / "run-0.part"), {"seed": 7, "epochs": 4, "copies": 1}
    whole, _ = train_base(few(clean[0]), **how)

    def be_killed(fraction, _sentence):
        if fraction >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_base(few(clean[0]), **how, progress=be_killed, checkpoint=checkpoint)
    heard = []
    resumed, _ = train_base(
        few(clean[0]), **how, checkpoint=checkpoint, progress=lambda done, _: heard.append(done)
    )
    assert heard == [0.75, 1.0]
    assert torch.equal(weights(resumed), weights(whole))


def test_it_stops_when_what_is_held_back_gets_no_better(clean, base, foolings):
    """At a rate that leaps about it is soon over, and the best epoch is taken."""
    heard = []
    how = {"seed": 0, "epochs": 30, "epoch_images": 64, "patience": 2, "learning_rate": 0.1}
    net, _ = fine_tune(
        base, clean[0], foolings, **how, progress=lambda fraction, _: heard.append(fraction)
    )
    assert len(heard) < 30
    assert accuracy(net, clean[1]) > 0.5


@pytest.mark.parametrize("mix", ["half", "union", "foolings_only"])
def test_what_people_do_not_agree_on_is_learned_as_they_share_it(base, clean, foolings, mix):
    one = foolings.take(np.zeros(32, np.int64))
    shared = np.zeros((32, 10), np.float32)
    shared[:, [3, 8]] = 0.7, 0.3
    how = {"seed": 0, "epochs": 12, "epoch_images": 256, "blend": 1, "mix": mix, "attacked": 0.25}
    net, _ = fine_tune(base, few(clean[0]), Images(one.x, shared, "shared"), **how)
    said = reference_probabilities(net, one.x[:1])[0]
    assert said[[3, 8]] == pytest.approx([0.7, 0.3], abs=0.15)


def test_items_with_shared_labels_are_read_as_shares():
    blank = Prepared("", np.zeros((28, 28), np.float32))
    read = DIGITS_MODULE._images([Item(blank, "3", shares={"3": 0.7, "8": 0.3}), Item(blank, "5")])
    assert read.y.dtype == np.float32
    assert read.y[:, [3, 5, 8]].tolist() == np.float32([[0.7, 0, 0.3], [0, 1, 0]]).tolist()


def test_training_leaves_the_process_and_the_parent_as_they_were(clean, base, foolings):
    torch.set_num_threads(2)
    state, before = torch.get_rng_state(), weights(base).clone()
    fine_tune(base, few(clean[0]), foolings, seed=0, epochs=1, epoch_images=64)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == 2
    assert torch.equal(weights(base), before)
    torch.set_num_threads(1)


def test_half_and_half_learns_the_foolings_and_foolings_alone_forget(base, clean, foolings):
    train, held_out = clean
    assert accuracy(base, foolings) == 0
    mixed, _ = fine_tune(base, train, foolings, seed=0, epochs=3, epoch_images=1000, blend=1)
    assert accuracy(mixed, foolings) > 0.3
    assert accuracy(mixed, held_out) > accuracy(base, held_out) - 0.01
    alone, _ = fine_tune(
        base, train, foolings, seed=0, epochs=12, batch_size=32, mix="foolings_only", blend=1
    )
    assert accuracy(alone, held_out) < accuracy(mixed, held_out) - 0.02


def test_a_blend_lies_between_the_old_and_the_tuned_net(base, clean, foolings):
    def blended(share):
        options = {"seed": 3, "epochs": 1, "epoch_images": 64, "blend": share}
        return weights(fine_tune(base, few(clean[0]), foolings, **options)[0])

    assert torch.equal(blended(0), weights(base))
    torch.testing.assert_close(blended(0.5), (weights(base) + blended(1)) / 2)


def test_progress_is_heard_each_epoch_and_may_cancel(clean):
    heard = []
    train_base(few(clean[0]), seed=0, epochs=4, copies=1, progress=lambda *said: heard.append(said))
    assert [fraction for fraction, _ in heard] == [0.25, 0.5, 0.75, 1.0]
    assert heard[0][1].startswith("Epoch 1 of 4")

    def cancel(fraction, _sentence):
        if fraction >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_base(few(clean[0]), seed=0, epochs=4, copies=1, progress=cancel)


def test_nothing_to_learn_from_and_an_unknown_mix_are_refused(base, clean, foolings):
    with pytest.raises(ValueError, match="no verified examples"):
        fine_tune(base, clean[0], few(foolings, 0), seed=0)
    with pytest.raises(ValueError, match="mix"):
        fine_tune(base, few(clean[0]), foolings, seed=0, epoch_images=64, mix="thirds")


def test_redrawn_digits_are_framed_and_keep_their_labels(clean):
    x, y = redraw(few(clean[0]), 3, np.random.default_rng(0), Augmentation())
    assert x.shape == (192, 28, 28)
    np.testing.assert_array_equal(y, np.tile(few(clean[0]).y, 3))
    np.testing.assert_allclose(x.max(axis=(1, 2)), 1)


@pytest.mark.parametrize("mix", ["half", "union"])
def test_the_next_model_says_how_it_was_made(base, clean, foolings, tmp_path, mix):
    """Through the protocol, with labels in an order of their own."""
    labels = LABELS[::-1]
    parent = learners.save(Trained("digits", labels, base, {}), tmp_path)
    train = few(clean[0])
    items = [
        [Item(Prepared("", x), str(y)) for x, y in zip(images.x, images.y, strict=True)]
        for images in (train, foolings)
    ]
    settings = DIGITS.settings.model_validate({"epochs": 1, "epoch_images": 64, "mix": mix})
    trained = DIGITS.fine_tune(
        artifacts.load(tmp_path / parent["artifact"], parent["sha256"]),
        Base(items[0], [], "few"),
        items[1],
        seed=5,
        settings=settings.model_dump(),
    )
    assert trained.labels == labels
    backwards = Images(foolings.x, 9 - foolings.y, "rotated")
    expected, config = fine_tune(
        base,
        Images(train.x, 9 - train.y, "few"),
        backwards,
        seed=5,
        epochs=1,
        epoch_images=64,
        mix=mix,
    )
    assert torch.equal(weights(trained.model), weights(expected))
    assert trained.config == {**config, "source": "few"}
    assert (config["mix"], config["seed"], config["verified_images"]) == (mix, 5, len(foolings))
    assert config["augmentation"]["rotation"] == Augmentation().rotation
    assert config["torch"] == torch.__version__


# --- its files ------------------------------------------------------------------------------------
def loaded(net, **changed):
    return LoadedArtifact("digits", LABELS, {**members_of(net, LABELS), **changed})


def test_a_saved_net_comes_back_and_the_callers_is_left_alone():
    net = digit_net().train()
    before = weights(net).clone()
    back = read_weights(loaded(net))
    assert not back.training
    assert net.training
    assert torch.equal(weights(back), before)
    assert torch.equal(weights(net), before)


def test_equal_weights_make_equal_members():
    assert members_of(digit_net(), LABELS) == members_of(digit_net(), LABELS)


def test_weights_that_would_run_code_are_refused(tmp_path):
    class Opener:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    poison = BytesIO()
    torch.save({"conv1.weight": Opener()}, poison)
    with pytest.raises(ArtifactError, match="do not fit"):
        read_weights(LoadedArtifact("digits", LABELS, {WEIGHTS: poison.getvalue()}))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("labels", [LABELS[:9], (*LABELS[:9], "0")])
def test_labels_must_match_the_nets_answers(tmp_path, labels):
    with pytest.raises(ArtifactError, match="labels"):
        learners.save(Trained("digits", labels, digit_net(), {}), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_diverged_net_is_not_saved():
    net = digit_net()
    with torch.no_grad():
        net.fc2.bias[3] = float("nan")
    with pytest.raises(ArtifactError, match="diverged"):
        members_of(net, LABELS)


def test_the_onnx_graph_equals_torch_on_edge_cases_and_noise():
    net = digit_net()
    images = np.concatenate([probe_images(seed=7), 1 - probe_images(seed=8)])
    by_onnx = OnnxBackend(members_of(net, LABELS)[artifacts.ONNX], LABELS).probabilities(images)
    assert np.abs(reference_probabilities(net, images) - by_onnx).max() <= 1e-5
    expected = reference_probabilities(net, probe_images())
    assert largest_difference(expected, export_onnx(digit_net(seed=2))) > 1e-3
    assert largest_difference(expected[:, :9], export_onnx(net)) == float("inf")


def test_a_graph_that_differs_or_cannot_be_made_is_left_out(monkeypatch, caplog):
    other_net = export_onnx(digit_net(seed=2))
    monkeypatch.setattr(export, "export_onnx", lambda net: other_net)
    assert set(members_of(digit_net(), LABELS)) == {WEIGHTS}
    assert "off torch" in caplog.text

    def unsupported(net):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(export, "export_onnx", unsupported)
    assert set(members_of(digit_net(), LABELS)) == {WEIGHTS}
    assert "no such operator" in caplog.text


def test_torch_ignores_later_changes_of_the_net_and_its_training_mode():
    net = DigitNet().train()
    module = Probabilities(net)
    images = torch.from_numpy(probe_images())
    with torch.no_grad():
        before = module(images)
        net.fc2.bias += 3 * torch.arange(10)
        assert torch.equal(module(images), before)
    assert net.training


def test_serving_by_onnx_imports_no_torch(tmp_path):
    source = source_of(
        learners.save(Trained("digits", LABELS, digit_net(), {}), tmp_path), tmp_path
    )
    assert isinstance(open_model("onnx", source).itself, OnnxBackend)
    program = (
        "import sys; from pathlib import Path; from ml.backends import Source, open_model;"
        "from ml.learners import learners_of; assert learners_of('image');"
        "open_model('onnx', Source(Path(sys.argv[1]), sys.argv[2], {}));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(source.file), source.sha256],
        capture_output=True,
        text=True,
        cwd=Path(artifacts.__file__).parent.parent,
        check=True,
    )
    assert done.stdout.strip() == "False"
