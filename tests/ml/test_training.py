"""Training from real digits: it learns, repeats itself bit by bit, and can be cancelled."""

import numpy as np
import pytest
import torch

from ml.digits import Images, load_sklearn, split_clean
from ml.training import evaluate, fine_tune, predict, redraw, train_base
from ml.warps import Augmentation, warp

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def clean():
    return split_clean(load_sklearn(), seed=0)


@pytest.fixture(scope="module")
def base(clean):
    train, held_out = clean
    return train_base(train, seed=0, epochs=3, copies=2, held_out=held_out)


@pytest.fixture(scope="module")
def foolings(base, clean):
    """Rotated training digits that the base model misreads, with their true labels."""
    train, _ = clean
    x = warp(train.x, np.random.default_rng(1), ["rotate"])
    fooled = predict(base.net, x).argmax(axis=1) != train.y
    return few(Images(x[fooled], train.y[fooled], "rotated"), 200)


@pytest.fixture(scope="module")
def tuned(base, clean, foolings):
    train, held_out = clean
    return fine_tune(
        base.net, train, foolings, seed=0, epoch_images=1000, blend=1, held_out=held_out
    )


def weights(net):
    return torch.cat([parameter.flatten() for parameter in net.parameters()])


def few(images, n=64):
    return images.take(np.arange(n))


def test_the_base_model_learns_to_read(base):
    assert base.metrics["accuracy"] > 0.85
    assert len(base.metrics["per_class_recall"]) == 10
    assert not base.net.training


def test_predictions_are_probabilities(base, clean):
    probs = predict(base.net, clean[1].x)
    assert probs.shape == (len(clean[1]), 10)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert predict(base.net, np.empty((0, 28, 28), np.float32)).shape == (0, 10)


def test_the_same_seed_gives_the_same_weights(clean, base, foolings):
    train = few(clean[0])
    one, two, other = (train_base(train, seed=s, epochs=2, copies=1) for s in (7, 7, 8))
    assert torch.equal(weights(one.net), weights(two.net))
    assert not torch.equal(weights(one.net), weights(other.net))
    one, two = (
        fine_tune(base.net, train, foolings, seed=7, epochs=1, epoch_images=64) for _ in range(2)
    )
    assert torch.equal(weights(one.net), weights(two.net))


def test_training_leaves_the_process_as_it_was(clean):
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    train_base(few(clean[0]), seed=1, epochs=1, copies=1)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_half_and_half_learns_the_foolings_and_keeps_the_clean(base, tuned, foolings):
    assert evaluate(base.net, foolings)["accuracy"] == 0
    assert evaluate(tuned.net, foolings)["accuracy"] > 0.3
    assert tuned.metrics["accuracy"] > base.metrics["accuracy"] - 0.01


def test_the_net_that_is_tuned_stays_as_it_was(base, clean, foolings):
    before = weights(base.net).clone()
    fine_tune(base.net, few(clean[0]), foolings, seed=0, epochs=1, epoch_images=64)
    assert torch.equal(weights(base.net), before)


def test_a_blend_lies_between_the_old_and_the_tuned_net(base, clean, foolings):
    def blended(share):
        options = {"seed": 3, "epochs": 1, "epoch_images": 64, "blend": share}
        return weights(fine_tune(base.net, few(clean[0]), foolings, **options).net)

    assert torch.equal(blended(0), weights(base.net))
    torch.testing.assert_close(blended(0.5), (weights(base.net) + blended(1)) / 2)


def test_foolings_only_forgets(base, clean, tuned, foolings):
    train, held_out = clean
    alone = fine_tune(
        base.net,
        train,
        foolings,
        seed=0,
        epochs=25,
        batch_size=32,
        mix="foolings_only",
        blend=1,
        held_out=held_out,
    )
    assert alone.metrics["accuracy"] < tuned.metrics["accuracy"] - 0.05


def test_every_mix_records_how_it_was_made(base, clean, foolings):
    for mix in ("half", "union", "foolings_only"):
        config = fine_tune(
            base.net, few(clean[0]), foolings, seed=5, epochs=1, epoch_images=64, mix=mix
        ).config
        assert config["mix"] == mix
        assert config["seed"] == 5
        assert config["verified_images"] == len(foolings)
    assert base.config["augmentation"]["rotation"] == Augmentation().rotation
    assert base.config["torch"] == torch.__version__


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


def test_training_without_verified_examples_is_refused(base, clean):
    nothing = clean[0].take(np.arange(0))
    with pytest.raises(ValueError, match="no verified examples"):
        fine_tune(base.net, clean[0], nothing, seed=0)


def test_an_unknown_mix_is_refused(base, clean, foolings):
    with pytest.raises(ValueError, match="mix"):
        fine_tune(base.net, few(clean[0]), foolings, seed=0, epoch_images=64, mix="thirds")


def test_redrawn_digits_are_framed_and_keep_their_labels(clean):
    x, y = redraw(few(clean[0]), 3, np.random.default_rng(0), Augmentation())
    assert x.shape == (192, 28, 28)
    np.testing.assert_array_equal(y, np.tile(few(clean[0]).y, 3))
    np.testing.assert_allclose(x.max(axis=(1, 2)), 1)
