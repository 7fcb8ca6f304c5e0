"""Model files: what is saved is what is loaded, and nothing else is."""

import json
import stat
import subprocess
import sys
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from ml import onnx_export
from ml.artifacts import (
    ArtifactError,
    MissingArtifact,
    TamperedArtifact,
    load,
    save,
)
from ml.backends.onnx import OnnxBackend
from ml.backends.torch import TorchBackend
from ml.nets import DigitNet
from ml.onnx_export import export_onnx, largest_difference, probe_images, reference_probabilities

torch.set_num_threads(1)

LABELS = [str(digit) for digit in range(10)]


@pytest.fixture
def models(tmp_path):
    """A folder that nothing else writes into."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def digit_net(seed: int = 1) -> DigitNet:
    torch.manual_seed(seed)
    return DigitNet()


def save_digits(folder: Path, net: torch.nn.Module | None = None):
    return save(net or digit_net(), net_name="digits", folder=folder, labels=LABELS)


def rezipped(path: Path, **changed: bytes) -> tuple[Path, str]:
    """A copy of a model file with members replaced, at its own right name."""
    out = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name.replace(".", "_"), old.read(name)))
    digest = sha256(out.getvalue()).hexdigest()
    copy = path.with_name(f"{digest}.model")
    copy.write_bytes(out.getvalue())
    return copy, digest


def test_a_saved_net_comes_back_with_its_weights_and_labels(models):
    net = digit_net()
    saved = save_digits(models, net)
    loaded = load(saved.path, saved.sha256)
    assert loaded.net_name == saved.net_name == "digits"
    assert loaded.labels == saved.labels == tuple(LABELS)
    back = loaded.net()
    assert not back.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, back.state_dict()[name])


def test_the_name_is_the_digest_and_size_of_the_bytes(models):
    saved = save_digits(models / "new" / "folder")
    data = saved.path.read_bytes()
    assert saved.path.stem == saved.sha256 == sha256(data).hexdigest()
    assert saved.size == len(data)


def test_equal_weights_make_one_file_and_other_weights_another(models):
    first, again = save_digits(models), save_digits(models)
    other = save_digits(models, digit_net(seed=2))
    assert first == again
    assert other.sha256 != first.sha256
    assert len(list(models.iterdir())) == 2


def test_only_the_owner_may_read_or_write_the_file(models):
    saved = save_digits(models)
    assert stat.S_IMODE(saved.path.stat().st_mode) == 0o600


def test_saving_leaves_the_callers_net_as_it_was(models):
    net = digit_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    save_digits(models, net)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_crash_while_writing_leaves_no_file(models, monkeypatch):
    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ml.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_digits(models)
    assert list(models.iterdir()) == []


def test_a_changed_byte_is_refused(models):
    saved = save_digits(models)
    data = bytearray(saved.path.read_bytes())
    data[len(data) // 2] ^= 1
    saved.path.write_bytes(data)
    with pytest.raises(TamperedArtifact, match="has changed"):
        load(saved.path, saved.sha256)


def test_another_models_file_is_refused(models):
    saved, other = save_digits(models), save_digits(models, digit_net(seed=2))
    with pytest.raises(TamperedArtifact):
        load(other.path, saved.sha256)


def test_a_missing_file_is_named(models):
    with pytest.raises(MissingArtifact, match=r"gone\.model is missing"):
        load(models / "gone.model", "0" * 64)


def test_a_file_of_another_kind_is_refused(models):
    path = models / "notes.model"
    path.write_bytes(b"not a zip")
    with pytest.raises(ArtifactError, match="not a model file"):
        load(path, sha256(b"not a zip").hexdigest())


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ({"format": 99, "net": "digits", "labels": LABELS}, "has format 99"),
        ({"format": 1, "labels": LABELS}, "not a model file"),
        ([], "not a model file"),
    ],
)
def test_an_unknown_manifest_is_refused(models, manifest, sentence):
    saved = save_digits(models)
    path, digest = rezipped(saved.path, manifest_json=json.dumps(manifest).encode())
    with pytest.raises(ArtifactError, match=sentence):
        load(path, digest)


def test_weights_that_would_run_code_are_refused(models):
    class Opener:
        def __reduce__(self):
            return (open, (str(models / "owned"), "w"))

    poison = BytesIO()
    torch.save({"conv1.weight": Opener()}, poison)
    saved = save_digits(models)
    path, digest = rezipped(saved.path, weights_pt=poison.getvalue())
    with pytest.raises(ArtifactError, match="do not fit"):
        load(path, digest).net()
    assert not (models / "owned").exists()


def test_an_unregistered_net_is_refused_when_saved_and_when_loaded(models):
    with pytest.raises(ArtifactError, match="No net is called"):
        save(digit_net(), net_name="letters", folder=models, labels=LABELS)
    saved = save_digits(models)
    manifest = json.dumps({"format": 1, "net": "letters", "labels": LABELS}).encode()
    path, digest = rezipped(saved.path, manifest_json=manifest)
    with pytest.raises(ArtifactError, match="'letters'; known are"):
        load(path, digest).net()


@pytest.mark.parametrize("labels", [LABELS[:9], [*LABELS[:9], "0"]])
def test_labels_must_match_the_nets_answers(models, labels):
    with pytest.raises(ArtifactError, match="labels"):
        save(digit_net(), net_name="digits", folder=models, labels=labels)
    assert list(models.iterdir()) == []


def test_a_diverged_net_is_not_saved(models):
    net = digit_net()
    with torch.no_grad():
        net.fc2.bias[3] = float("nan")
    with pytest.raises(ArtifactError, match="diverged"):
        save_digits(models, net)


def test_the_onnx_graph_equals_torch_on_edge_cases_and_noise(models):
    net = digit_net()
    saved = save_digits(models, net)
    assert saved.onnx_refusal is None
    assert saved.onnx_difference is not None
    assert saved.onnx_difference <= 1e-5
    loaded = load(saved.path, saved.sha256)
    assert loaded.onnx is not None
    images = np.concatenate([probe_images(seed=7), 1 - probe_images(seed=8)])
    by_torch = TorchBackend(net, LABELS).probabilities(images)
    by_onnx = OnnxBackend(loaded.onnx, LABELS).probabilities(images)
    assert np.abs(by_torch - by_onnx).max() <= 1e-5


def test_an_onnx_graph_that_differs_from_torch_is_not_kept(models, monkeypatch):
    other_net = export_onnx(digit_net(seed=2))
    monkeypatch.setattr(onnx_export, "export_onnx", lambda net: other_net)
    saved = save_digits(models)
    assert saved.onnx_difference is None
    assert "differs from torch" in saved.onnx_refusal
    assert load(saved.path, saved.sha256).onnx is None


def test_a_net_that_cannot_be_exported_is_saved_for_torch(models, monkeypatch):
    def unsupported(net):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(onnx_export, "export_onnx", unsupported)
    saved = save_digits(models)
    assert saved.onnx_refusal == "RuntimeError during export"
    assert load(saved.path, saved.sha256).onnx is None


def test_the_difference_sees_a_wrong_graph_and_a_shape_that_does_not_fit():
    expected = reference_probabilities(digit_net(), probe_images())
    assert largest_difference(expected, export_onnx(digit_net())) <= 1e-5
    assert largest_difference(expected, export_onnx(digit_net(seed=2))) > 1e-3
    assert largest_difference(expected[:, :9], export_onnx(digit_net())) == float("inf")


def test_serving_by_onnx_imports_no_torch(models):
    saved = save_digits(models)
    program = (
        "import sys; from pathlib import Path; from ml.backends import Source, open_model;"
        "backend = open_model('onnx', Source(Path(sys.argv[1]), sys.argv[2], {}));"
        "print(type(backend).__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(saved.path), saved.sha256],
        capture_output=True,
        text=True,
        cwd=Path(onnx_export.__file__).parent.parent,
        check=True,
    )
    assert done.stdout.split() == ["OnnxBackend", "False"]
