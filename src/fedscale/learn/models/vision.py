"""Networks for images that torchvision builds, at random weights, for samples of any size and number of channels.

BatchNorm's statistics of a client with few samples and classes describe nobody else's, so the default is GroupNorm in
two groups (K. Hsieh et al., "The Non-IID Data Quagmire of Decentralized Machine Learning", 2020; S. Reddi et al.,
"Adaptive Federated Optimization", 2021, for ResNet-18). Both have the same number of parameters.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, Literal

import torch
from torch import nn

from fedscale.data.card import Card
from fedscale.errors import JobError, MissingExtraError
from fedscale.learn.models.checks import Shape, image
from fedscale.section import Decay

Norm = Literal["group", "batch"]
Stem = Literal["auto", "small", "large"]

GROUPS: Final = 2
"""Groups of channels; all networks here have an even number of channels everywhere."""

SMALL: Final = 32
"""Images up to this many pixels on their longer side lose too much in the first layers made for 224."""


def resnet18(
    sample_shape: Shape,
    classes: int,
    norm: Norm = "group",
    stem: Stem = "auto",
    card: Card | None = None,
) -> nn.Module:
    """ResNet-18 (K. He et al. 2016).

    The ``large`` stem is the published one for 224 pixels: 7×7 with stride 2 and max-pooling. ``small`` is 3×3 with
    stride 1 and no pooling, as is usual for CIFAR; ``auto`` takes it for images of up to 32 pixels.
    """
    return _resnet("resnet18", sample_shape, classes, norm, stem, card)


def resnet34(
    sample_shape: Shape,
    classes: int,
    norm: Norm = "group",
    stem: Stem = "auto",
    card: Card | None = None,
) -> nn.Module:
    """ResNet-34 (K. He et al. 2016); see `resnet18`."""
    return _resnet("resnet34", sample_shape, classes, norm, stem, card)


def _resnet(name: str, sample_shape: Shape, classes: int, norm: Norm, stem: Stem, card: Card | None) -> nn.Module:
    channels, height, width, shape = image(name, sample_shape, card)
    network = getattr(torchvision_for(name).models, name)(num_classes=classes)
    small = stem == "small" or (stem == "auto" and max(height, width) <= SMALL)
    if small:
        network.conv1 = _initial(nn.Conv2d(channels, 64, 3, padding=1, bias=False))
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = _initial(nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False))
    return nn.Sequential(shape, _normalised(network, norm))


def mobilenet_v2(
    sample_shape: Shape,
    classes: int,
    norm: Norm = "group",
    dropout: Decay = 0.0,
    card: Card | None = None,
) -> nn.Module:
    """MobileNetV2 (M. Sandler et al. 2018) of width 1; torchvision's own ``dropout`` before the last layer is 0.2."""
    channels, _, _, shape = image("mobilenet_v2", sample_shape, card)
    network = torchvision_for("mobilenet_v2").models.mobilenet_v2(num_classes=classes, dropout=dropout)
    if channels != 3:
        network.features[0][0] = _initial(nn.Conv2d(channels, 32, 3, stride=2, padding=1, bias=False))
    return nn.Sequential(shape, _normalised(network, norm))


def shufflenet_v2(sample_shape: Shape, classes: int, norm: Norm = "group", card: Card | None = None) -> nn.Module:
    """ShuffleNetV2 (N. Ma et al. 2018) of width 1."""
    channels, _, _, shape = image("shufflenet_v2", sample_shape, card)
    network = torchvision_for("shufflenet_v2").models.shufflenet_v2_x1_0(num_classes=classes)
    if channels != 3:
        network.conv1[0] = _initial(nn.Conv2d(channels, 24, 3, stride=2, padding=1, bias=False))
    return nn.Sequential(shape, _normalised(network, norm))


def torchvision_for(model: str) -> Any:
    """Return torchvision.

    Raises:
        MissingExtraError: torchvision is not installed.
        JobError: the installed one was built for another torch.
    """
    try:
        return importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torchvision":
            raise MissingExtraError(f"the model {model!r}", "torchvision", "vision") from None
        # For instance "operator torchvision::nms does not exist": its compiled part is not loaded.
        raise JobError(
            f"model {model!r}: the installed torchvision does not fit the installed torch {torch.__version__}"
            f" ({error}); install two that belong together: pip install --upgrade torch torchvision"
        ) from None


def _initial(convolution: nn.Conv2d) -> nn.Conv2d:
    """Draw a first layer's weights as the published networks do (He et al. 2015)."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def _normalised(network: nn.Module, norm: Norm) -> nn.Module:
    """Return the network with its BatchNorm layers replaced, if the other norm is wanted."""
    if norm == "group":
        _replace(network, lambda layer: nn.GroupNorm(GROUPS, layer.num_features))
    return network


def _replace(module: nn.Module, new: Callable[[nn.BatchNorm2d], nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, new(child))
        else:
            _replace(child, new)
