"""The nets that this project trains, by the name under which an artifact's config keeps them."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE: Final = (28, 28)  # of one input of the nets below
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
        x = (images - MNIST_MEAN) / MNIST_STD
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.dropout(x, training=self.training)
        return torch.log_softmax(self.fc2(x), dim=1)


NETS: Final[dict[str, Callable[[], nn.Module]]] = {"digits": DigitNet}
