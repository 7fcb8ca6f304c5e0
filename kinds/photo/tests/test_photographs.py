"""Photographs as they are read, kept, shown and asked about."""

from __future__ import annotations

import base64
import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.errors import Refused
from kinds import kind_named
from kinds.photo.photographs import encoded
from kinds.photo.tests import colours
from kinds.photo.tests.colours import file_of, scene, sent, shown, taken_sideways
from ml.artifacts import ArtifactError
from ml.backends import Source, open_model
from ml.pictures import Picture

PHOTO = kind_named("photo")


# --- what is kept ---------------------------------------------------------------------------------
def test_it_is_kept_upright_small_and_without_what_the_camera_wrote() -> None:
    tall = scene(1, size=(600, 900))
    data = taken_sideways(tall)
    assert b"A camera of somebody" in data
    kept = PHOTO.parse(sent(data))
    image = shown(kept.stored)
    assert (image.size, image.format, dict(image.getexif())) == ((341, 512), "JPEG", {})
    apart = np.asarray(image.resize((60, 90)), float) - np.asarray(tall.resize((60, 90)), float)
    assert np.abs(apart).mean() < 3, "it is the scene, upright"


FORMS: dict[str, Any] = {
    "jpeg": sent(scene(1)),
    "webp": sent(scene(1), "WEBP"),
    "png": sent(scene(1), "PNG"),
    "palette": sent(scene(1).convert("P"), "PNG"),
    "gray": sent(scene(1).convert("L"), "PNG"),
    "cmyk": sent(scene(1).convert("CMYK")),
    "progressive": sent(scene(1), progressive=True),
    "large": sent(scene(1, size=(900, 700)), quality=70),
    "probe": PHOTO.probes[0],
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_same_however_often_it_is_read(form: str) -> None:
    first = PHOTO.parse(FORMS[form])
    again = PHOTO.parse(first.stored)
    assert (again.key, again.stored) == (first.key, first.stored)
    assert PHOTO.parse(FORMS[form]).key == first.key
    assert first.features.mode == "RGB"


def test_nothing_can_be_hidden_in_one_that_looks_like_ours() -> None:
    data = base64.b64decode(PHOTO.parse(sent(scene(1))).stored["photo"])
    note = b"\xff\xfe\x00\x08secret"
    for some in (data + b"secret", data[:2] + note + data[2:], data[:-2] + note + data[-2:]):
        assert b"secret" not in base64.b64decode(PHOTO.parse(sent(some)).stored["photo"])


def test_what_is_clear_is_white_and_a_profile_s_colours_are_screens_colours() -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert PHOTO.parse(sent(clear, "PNG")).features.getpixel((9, 9)) == (255, 255, 255)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = PHOTO.parse(sent(scene(1), "PNG")).features
    told = PHOTO.parse(sent(scene(1), "PNG", icc_profile=lab)).features
    assert np.abs(np.asarray(plain, int) - np.asarray(told, int)).max() <= 2
    odd = PHOTO.parse(sent(scene(1), "PNG", icc_profile=b"no profile")).features
    assert odd.tobytes() == plain.tobytes()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ({"png": "AAAA"}, "bad_input"),
        ({"photo": "AAAA"}, "bad_image"),
        ({"photo": "!"}, "bad_base64"),
        ({"photo": 7}, "bad_base64"),
        (sent(scene(1, size=(20, 200))), "bad_image"),
        (sent(encoded(scene(1, size=(20, 200)))), "bad_image"),  # as if it were one of ours
        (sent(Image.new("L", (4000, 100)), "PNG"), "bad_image"),
        (sent(Image.new("L", (4100, 4100)), "PNG"), "too_large"),
        (sent(scene(1), "GIF"), "bad_image"),
        (sent(file_of(scene(1))[:900]), "bad_image"),
    ],
    ids=[*"1234567890"],
)
def test_what_is_no_photograph_is_told_in_a_sentence(raw: Any, code: str) -> None:
    with pytest.raises(Refused) as refused:
        PHOTO.parse(raw)
    assert refused.value.code == code
    assert refused.value.message.endswith(".")


def test_the_page_s_own_are_light_to_read() -> None:
    light = sent(scene(1, size=(512, 384)), quality=92)
    assert not PHOTO.heavy(light)
    assert PHOTO.heavy(sent(scene(1, size=(1600, 1200))))
    assert not PHOTO.heavy({"photo": "AAAA"})


# --- when two are one -----------------------------------------------------------------------------
def test_copies_are_found_and_other_scenes_and_colours_are_not() -> None:
    like = PHOTO.likeness
    scenes = [PHOTO.parse(sent(scene(seed))) for seed in range(40)]
    found = 0
    for seed, one in enumerate(scenes):
        copy = PHOTO.parse(sent(scene(seed).resize((200, 150)), quality=60))
        assert like.distance(one, copy) < 0.1
        found += like.kept_under(one, "")[0] in like.looked_up_by(copy, "")
    assert found == len(scenes)
    for way in Image.Transpose:
        turned = PHOTO.parse(sent(scene(3).transpose(way), quality=60))
        assert like.distance(scenes[3], turned) < 0.1, way
        assert like.kept_under(scenes[3], "")[0] in like.looked_up_by(turned, ""), way
    apart = [like.distance(one, two) for one, two in itertools.pairwise(scenes)]
    assert min(apart) > 0.3
    swapped = Image.fromarray(np.asarray(scene(1))[..., ::-1])
    assert like.distance(scenes[1], PHOTO.parse(sent(swapped))) > 0.12


def test_walls_of_nearly_one_colour_are_one_photograph() -> None:
    """Nothing stands out in them by which they could be looked up, or told from noise."""

    def wall(colour: tuple[int, int, int], seed: int) -> Any:
        noise = np.random.default_rng(seed).normal(0, 4, (192, 256, 3))
        image = Image.fromarray((noise + colour).clip(0, 255).astype(np.uint8))
        return PHOTO.parse(sent(image, quality=60 + seed))

    like = PHOTO.likeness
    for one, other, same in (
        (wall((200, 30, 30), 1), wall((205, 34, 30), 2), True),
        (wall((128, 128, 128), 3), wall((130, 130, 130), 4), True),
        (wall((200, 30, 30), 5), wall((30, 200, 30), 6), False),
    ):
        assert like.kept_under(one, "")[0] in like.looked_up_by(other, "")
        assert (like.distance(one, other) < 0.12) == same


# --- what a model reads ---------------------------------------------------------------------------
def test_a_model_takes_its_own_view_of_it() -> None:
    wide = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (100, 1, 3)))
    how = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    first = Picture.model_validate(how).view((3, 10, 10)).of(wide)
    assert (first.shape, first.dtype) == ((3, 10, 10), np.float32)
    across = first[0].mean(axis=0) * 0.25 * 255 + 0.5 * 255  # 50 to 150, by tens
    assert np.allclose(across, np.arange(54.5, 150, 10), atol=2)
    last = Picture(fit="stretch", size=10).view((-1, -1, 3)).of(wide)
    assert last.shape == (10, 10, 3)
    assert np.allclose(last[0, :, 0] * 255, np.arange(9.5, 200, 20), atol=4)
    part = Picture(crop=0.5, size=10).view((3, -1, -1)).of(wide)
    assert np.allclose(part[0, 0] * 255, np.arange(77, 125, 5), atol=2)
    red = Image.new("RGB", (40, 40), (255, 0, 0))
    assert Picture(order="bgr").view((3, 8, 8)).of(red)[:, 0, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("how", "sides", "words"),
    [
        ({}, (1, 28, 28), "no picture of three colours"),
        ({}, (3, -1, -1), "leaves it open"),
        ({"size": 16}, (3, 32, 32), r"takes \{32\}"),
    ],
)
def test_a_graph_that_takes_none_is_told_at_once(how: Any, sides: Any, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        Picture.model_validate(how).view(sides)


@pytest.mark.parametrize("how", [{}, {"colours_last": True}, {"side": "any"}], ids=str)
def test_graphs_of_every_order_answer(tmp_path: Path, how: Any) -> None:
    colours.save(tmp_path, **how)
    size = {"size": 32} if "side" in how else {}
    path = tmp_path / "eye.onnx"
    config = {
        "labels": colours.COLOURS, "scores": True, "picture": {**colours.PICTURE, **size}
    }  # fmt: skip
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    model = open_model("onnx", Source(path, sha256, config))
    asked = [PHOTO.parse(sent(scene(seed, tint=name))) for seed, name in enumerate(colours.COLOURS)]
    assert [one.label for one in model.answer(asked)] == colours.COLOURS
