"""FCN (Long et al., Fully Convolutional Networks for Semantic Segmentation, 2015) on ResNet-50, as torchvision's."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from cnnc.zoo.resnet import Bottleneck, ResNet


class DilatedResNet50(ResNet):
    """ResNet-50 without its classifier, at an eighth of the resolution: dilation for stride in the last two stages.

    Input (N, 3, H, W), output (N, 2048, H/8, W/8).
    """

    def __init__(self) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3))
        del self.avgpool, self.fc
        _dilate(self.layer3, first=1, rest=2)
        _dilate(self.layer4, first=2, rest=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of a batch of images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


class SegmentationNet(nn.Module):
    """A backbone and a head, whose scores are resized to the image.

    Input (N, 3, H, W), output {"out": (N, num_classes, H, W)} scores of each pixel. Without the auxiliary head,
    which only training reads.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Scores of each pixel of a batch of images."""
        scores = self.classifier(self.backbone(x))
        return {"out": F.interpolate(scores, size=x.shape[-2:], mode="bilinear", align_corners=False)}


def _dilate(stage: nn.Module, first: int, rest: int) -> None:
    """Replace the stage's stride by dilation: `first` in its first block, `rest` in those after it."""
    for index, block in enumerate(stage.children()):
        assert isinstance(block, Bottleneck)
        dilation = first if index == 0 else rest
        block.conv2.stride, block.conv2.dilation = (1, 1), (dilation, dilation)
        block.conv2.padding = (dilation, dilation)
        if isinstance(block.downsample, nn.Sequential):
            projection = block.downsample[0]
            assert isinstance(projection, nn.Conv2d)
            projection.stride = (1, 1)


def fcn_resnet50(num_classes: int = 21) -> SegmentationNet:
    """32,957,013 parameters at 21 classes."""
    head = nn.Sequential(
        nn.Conv2d(2048, 512, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(512, num_classes, kernel_size=1),
    )
    return SegmentationNet(DilatedResNet50(), head)
