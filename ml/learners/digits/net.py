"""The net, from plain images to probabilities, and its weights in a model file."""

import copy
import io
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml.artifacts import ArtifactError, LoadedArtifact

SHAPE: Final = (28, 28)  # of one input
WEIGHTS: Final = "weights.pt"
MNIST_MEAN: Final = 0.1307
MNIST_STD: Final = 0.3081


class DigitNet(nn.Module):
    """The small LeNet of PyTorch's first MNIST examples: 21,840 parameters.

    Takes (n, 1, 28, 28) float32 images with paper 0 and ink 1, and standardises them here and
    nowhere else, so every backend is handed plain images. Returns (n, 10) log-probabilities.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.dropout(self.last_layer(images), training=self.training)
        return torch.log_softmax(self.fc2(x), dim=1)

    def last_layer(self, images: Tensor) -> Tensor:
        """(n, 50): what the labels are told apart by."""
        x = (images - MNIST_MEAN) / MNIST_STD
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        return F.relu(self.fc1(x.flatten(1)))


class Probabilities(nn.Module):
    """A copy of a net, in evaluation mode, from plain (n, 28, 28) images to (n, K) probabilities.

    The net may return logits or log-probabilities: softmax of either is the same.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).cpu().eval().requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.scores(images), dim=1)

    def scores(self, images: Tensor) -> Tensor:
        """What the net itself says, (n, K): a small probability still has a slope there."""
        scores: Tensor = self.net(images.unsqueeze(1))
        return scores


def read_weights(artifact: LoadedArtifact) -> DigitNet:
    """The net of a model file, in evaluation mode on the CPU."""
    net = DigitNet()
    try:
        weights = io.BytesIO(artifact.members[WEIGHTS])
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:
        raise ArtifactError(f"The model's weights do not fit the digits net: {error}") from error
    return net.eval()


def weights_of(net: nn.Module) -> bytes:
    """The net's weights as a member of a model file."""
    stream = io.BytesIO()
    torch.save({name: value.cpu() for name, value in net.state_dict().items()}, stream)
    return stream.getvalue()
