"""The network of the zoo on which each pass shows; the others apply to no net of the zoo as it is exported."""

from __future__ import annotations

import dataclasses

__all__ = ["NOT_SHOWN", "SHOWN_ON", "Shown"]


@dataclasses.dataclass(frozen=True)
class Shown:
    """Where a pass can be seen at work: the net, and the target of the compilation."""

    net: str
    target: str = "onnxruntime"


SHOWN_ON = {
    "constant-reshape": Shown("shufflenet_v2_x1_0"),
    "simplify": Shown("nf_resnet26"),
    "reduce-to-pool": Shown("seresnet50"),
    "drop-noops": Shown("resnet50_gn"),
    "fold-pad": Shown("cnn_lstm"),
    "fold-batchnorm": Shown("resnet18"),
    "fold-scale": Shown("nf_resnet26"),
    "fold-layer-scale": Shown("convnext_tiny"),
    "merge-parallel": Shown("mobileone_s0"),
    "fold-scale-forward": Shown("repvit_m0_9"),
    "merge-serial": Shown("mobilenet_v3_small"),
    "pool-before-pointwise": Shown("densenet121"),
    "hoist-stride": Shown("resnet50_v1"),
    "prune-constant": Shown("mobilenet_v2", "portable"),
    "monotone-after-pool": Shown("resnet50_gn"),
    "fuse-activation": Shown("resnet18", "cpu"),
    "linear-to-conv": Shown("convnext_tiny", "cpu"),
    "pad-channels": Shown("r2plus1d_18", "cpu"),
    "join-groups": Shown("resnext50_32x4d", "cpu"),
    "lrn-to-conv": Shown("alexnet_2012", "cpu"),
    "split-conv": Shown("cspdarknet53", "cpu"),
    "depthwise-before-concat": Shown("ghostnet_100", "cpu"),
    "split-concat": Shown("squeezenet1_1", "cpu"),
    "concat-to-conv": Shown("ghostnet_100", "cpu"),
    "fill-block": Shown("ghostnet_100", "cpu"),
    "pair-frames": Shown("r3d_18", "cpu"),
    "conv3d-to-2d": Shown("r3d_18", "cpu"),
    "merge-frames": Shown("r3d_18", "cpu"),
    "pool3d-to-2d": Shown("s3d", "cpu"),
    "concat-frames": Shown("s3d", "cpu"),
}

NOT_SHOWN = {
    "infer-shapes": "every net; it changes no operator",
    "fold-input-norm": "`--embed-preprocessing` asks for it",
    "expand-instancenorm": "only where a proof fails",
    "mean-by-rows": "only where a proof fails",
    "fully-convolutional": "`--fully-convolutional` asks for it",
}
"""Why, where it is not that no net of the zoo has the pattern."""
