"""Detection with the single-shot detector that torchvision builds, at random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedscale.errors import bad_option
from fedscale.learn.models.checks import image
from fedscale.learn.models.vision import GROUPS, torchvision_for
from fedscale.section import Positive


class SsdLite(nn.Module):
    """SSDLite on MobileNetV3-Large (M. Sandler et al. 2018, §6.2; A. Howard et al. 2019, §6.3) with GroupNorm.

    Default boxes, their matching with true ones, the loss (W. Liu et al. 2016, §2.2: smooth L1 for places,
    cross-entropy for labels with three negatives for each positive) and what is left of overlapping boxes are
    torchvision's. The loss is taken for each image by itself, so that it adds up. Images of any size do, but small ones
    have few default boxes.
    """

    def __init__(self, sample_shape: tuple[int, ...] | None, classes: int, most: Positive = 100) -> None:
        super().__init__()
        planes, _, _, _ = image("ssdlite", sample_shape)
        if planes != 3:
            raise bad_option("model 'ssdlite'", "sample_shape", "(3, height, width)", sample_shape)
        library = torchvision_for("ssdlite")
        self._images, self._overlap = library.models.detection.image_list.ImageList, library.ops.box_iou
        self.network = library.models.detection.ssdlite320_mobilenet_v3_large(
            weights=None,
            weights_backbone=None,
            num_classes=classes + 1,
            norm_layer=lambda channels: nn.GroupNorm(GROUPS, channels),
            detections_per_img=most,
        )

    def forward(self, x: Tensor) -> Boxes:
        """Return what is seen in images (n, 3, height, width) of values from 0 to 1."""
        features = list(self.network.backbone(x * 2 - 1).values())
        height, width = x.shape[-2:]
        images = self._images(x, [(height, width)] * len(x))
        anchors = self.network.anchor_generator(images, features)
        return Boxes(self.network, self.network.head(features), anchors, x, self._overlap)


@dataclass(frozen=True)
class Boxes:
    """See `fedscale.learn.tasks.detection.Seen`."""

    network: Any
    outputs: dict[str, Tensor]
    anchors: list[Tensor]
    x: Tensor
    overlap: Any

    @property
    def _size(self) -> Tensor:
        height, width = self.x.shape[-2:]
        return self.x.new_tensor([width, height, width, height])

    def losses(self, boxes: Sequence[Tensor]) -> Tensor:
        """Return the loss of each image, (n,)."""
        return torch.stack([self._loss(place, true) for place, true in enumerate(boxes)])

    def found(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return boxes, scores and labels of each image."""
        sizes = [tuple(self.x.shape[-2:])] * len(self.x)
        found = self.network.postprocess_detections(self.outputs, self.anchors, sizes)
        return [(one["boxes"] / self._size, one["scores"], one["labels"] - 1) for one in found]

    def _loss(self, place: int, true: Tensor) -> Tensor:
        anchors, part = self.anchors[place], slice(place, place + 1)
        own = {name: values[part] for name, values in self.outputs.items()}
        target = {"boxes": true[:, 1:] * self._size, "labels": true[:, 0].long() + 1}
        matches = torch.full((len(anchors),), -1, device=anchors.device)
        if len(true):
            matches = self.network.proposal_matcher(self.overlap(target["boxes"], anchors))
        losses = self.network.compute_loss([target], own, [anchors], [matches])
        return losses["bbox_regression"] + losses["classification"]  # type: ignore[no-any-return]
