"""Models on disk: one immutable file each, named by the SHA-256 of its bytes.

A file is a zip of a manifest, the weights as a torch state dict and, where it gives the same
probabilities, the ONNX graph of the same net. Reading one needs no torch until its net is wanted.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.files import written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

logger = logging.getLogger(__name__)

FORMAT: Final = 1
SUFFIX: Final = ".model"
MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "weights.pt"
ONNX: Final = "net.onnx"
# Zip keeps a time for each member: a fixed one, so that equal nets make equal files.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class ArtifactError(RuntimeError):
    """A model file cannot be made or used; the message says why."""


class MissingArtifact(ArtifactError):
    """There is no file where the model should be."""


class TamperedArtifact(ArtifactError):
    """The file's bytes are not those that were registered."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A saved model: `size` is in bytes, `onnx_difference` from torch in probability.

    Without a usable ONNX graph the difference is None and `onnx_refusal` is the reason.
    """

    path: Path
    sha256: str
    size: int
    net_name: str
    labels: tuple[str, ...]
    onnx_difference: float | None
    onnx_refusal: str | None


@dataclass(frozen=True, slots=True)
class LoadedArtifact:
    """A model file whose bytes were checked; `onnx` is None where torch must serve."""

    net_name: str
    labels: tuple[str, ...]
    weights: bytes
    onnx: bytes | None

    def net(self) -> nn.Module:
        """The net with its weights, in evaluation mode on the CPU; imports torch."""
        import torch

        from ml.nets import NETS

        if self.net_name not in NETS:
            raise ArtifactError(
                f"The model's net is called {self.net_name!r}; known are {', '.join(sorted(NETS))}."
            )
        net = NETS[self.net_name]()
        try:
            net.load_state_dict(
                torch.load(io.BytesIO(self.weights), map_location="cpu", weights_only=True)
            )
        except Exception as error:
            raise ArtifactError(
                f"The model's weights do not fit the net {self.net_name!r}: {error}"
            ) from error
        return net.eval()


def save(net: nn.Module, *, net_name: str, folder: Path, labels: Sequence[str]) -> Artifact:
    """Write the net and its ONNX graph as one file into the folder, all of it or nothing.

    Saving equal weights again gives the same file. Raises ArtifactError for a net that gives
    no probabilities for these labels, or whose name is not registered. Imports torch.
    """
    import torch

    from ml.nets import NETS
    from ml.onnx_export import probe_images, reference_probabilities

    labels = tuple(labels)
    if net_name not in NETS:
        raise ArtifactError(f"No net is called {net_name!r}, so it could not be loaded again.")
    if len(set(labels)) != len(labels):
        raise ArtifactError("Two labels of the model are the same.")
    expected = reference_probabilities(net, probe_images())
    if expected.shape[1:] != (len(labels),):
        raise ArtifactError(f"The net answers {expected.shape[1:]}, not {len(labels)} labels.")
    if not np.isfinite(expected).all():
        raise ArtifactError("The net's probabilities are not numbers: its training diverged.")

    onnx, difference, refusal = _equal_onnx(net, expected)
    weights = io.BytesIO()
    torch.save({name: value.cpu() for name, value in net.state_dict().items()}, weights)
    manifest: dict[str, Any] = {"format": FORMAT, "net": net_name, "labels": labels}
    members = {WEIGHTS: weights.getvalue()}
    if onnx is not None:
        members[ONNX] = onnx
    else:
        manifest["onnx_refusal"] = refusal
    members[MANIFEST] = json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()
    data = _zipped(members)
    path = keep(data, folder, SUFFIX)
    sha256 = path.stem
    return Artifact(path, sha256, len(data), net_name, labels, difference, refusal)


def load(path: Path, sha256: str) -> LoadedArtifact:
    """Read a model file and prove that its bytes are the registered ones.

    Raises MissingArtifact, TamperedArtifact, or ArtifactError for a file of another kind.
    """
    data = checked_bytes(path, sha256)
    try:
        # Parsed from the bytes that were hashed: the file may be swapped, they may not.
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            manifest = json.loads(members.read(MANIFEST))
            weights = members.read(WEIGHTS)
            onnx = members.read(ONNX) if ONNX in members.namelist() else None
        version = manifest["format"]
        net_name, labels = str(manifest["net"]), tuple(map(str, manifest["labels"]))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"The file {path.name} is not a model file.") from error
    if version != FORMAT:
        raise ArtifactError(
            f"The model file {path.name} has format {version}; this version reads {FORMAT}."
        )
    return LoadedArtifact(net_name, labels, weights, onnx)


def keep(data: bytes, folder: Path, suffix: str) -> Path:
    """Write the bytes into the folder under their own hash; where they are already, they stay."""
    path = folder / f"{hashlib.sha256(data).hexdigest()}{suffix}"
    if not path.exists():
        with written_whole(path) as out:
            out.write(data)
    return path


def checked_bytes(path: Path, sha256: str) -> bytes:
    """What is in the file; MissingArtifact or TamperedArtifact when it is not what it was."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingArtifact(f"The model file {path.name} is missing.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise TamperedArtifact(
            f"The model file {path.name} has changed: its SHA-256 is {found}, registered {sha256}."
        )
    return data


def _equal_onnx(
    net: nn.Module, expected: NDArray[np.float32]
) -> tuple[bytes | None, float | None, str | None]:
    """The net's ONNX graph and its difference from torch, or the reason why it is not used."""
    from ml.onnx_export import TOLERANCE, export_onnx, largest_difference

    try:
        model = export_onnx(net)
        difference = largest_difference(expected, model)
    except Exception as error:  # whatever the exporter meets, torch can still serve the net
        logger.warning("a net has no ONNX graph and will be served by torch", exc_info=True)
        return None, None, f"{type(error).__name__} during export"
    if difference > TOLERANCE:
        logger.warning("an ONNX graph is %g off torch; torch will serve the net", difference)
        return None, None, f"differs from torch by more than {TOLERANCE:g}"
    return model, difference, None


def _zipped(members: Mapping[str, bytes]) -> bytes:
    """The members as an uncompressed zip whose bytes depend on nothing else."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = 3
            info.external_attr = 0o600 << 16
            out.writestr(info, members[name])
    return archive.getvalue()
