"""The field's reference CNNs, from the papers: a registry that loads no PyTorch until a net is built."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from typing import TYPE_CHECKING, Any

from cnnc.torch_extra import require_torch
from cnnc_runtime.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from cnnc.zoo.anatomy import Parts, Stage, parts
    from cnnc.zoo.inflation import inflate, inflate_net
    from cnnc.zoo.transfer import freeze, load

__all__ = ["ZOO", "Parts", "Stage", "ZooEntry", "build", "freeze", "inflate", "inflate_net", "load", "on_meta", "parts"]

_HOME = {
    "Parts": "anatomy",
    "Stage": "anatomy",
    "parts": "anatomy",
    "freeze": "transfer",
    "load": "transfer",
    "inflate": "inflation",
    "inflate_net": "inflation",
}


@dataclasses.dataclass(frozen=True)
class ZooEntry:
    """One reference network.

    Attributes:
        name: as the user types it.
        factory: "family:callable" in this package; imported when the net is built.
        input_shape: (channels, height, width), for clips (channels, frames, height, width); without the batch.
        params: learned values, as published, at the default number of classes.
        paper: authors, title, year.
        num_classes: outputs of the last layer, unless another number is asked for.
        other_inputs: (name, shape without the batch) of each input after the first, whose shape is `input_shape`.
        states: of a step function, the inputs that are states; its last outputs are their next values, in order.
    """

    name: str
    factory: str
    input_shape: tuple[int, ...]
    params: int
    paper: str
    num_classes: int = 1000
    other_inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    states: tuple[str, ...] = ()


_LECUN = "LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998"
_KRIZHEVSKY = "Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014"
_SIMONYAN = "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014"
_HE = "He et al., Deep Residual Learning for Image Recognition, 2015"
_ALEXNET = "Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012"
_IOFFE = "Ioffe and Szegedy, Batch Normalization: Accelerating Deep Network Training, 2015"
_TRICKS = "He et al., Bag of Tricks for Image Classification with Convolutional Neural Networks, 2018"
_WIDE = "Zagoruyko and Komodakis, Wide Residual Networks, 2016"
_RESNEXT = "Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2016"
_PREACT = "He et al., Identity Mappings in Deep Residual Networks, 2016"
_SENET = "Hu et al., Squeeze-and-Excitation Networks, 2017"
_GROUPNORM = "Wu and He, Group Normalization, 2018"
_NF = "Brock et al., Characterizing Signal Propagation to Close the Performance Gap in Unnormalized ResNets, 2021"
_DENSENET = "Huang et al., Densely Connected Convolutional Networks, 2016"
_GOOGLENET = "Szegedy et al., Going Deeper with Convolutions, 2014"
_INCEPTION = "Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015"
_SQUEEZENET = "Iandola et al., SqueezeNet: AlexNet-Level Accuracy with 50x Fewer Parameters, 2016"
_REGNET = "Radosavovic et al., Designing Network Design Spaces, 2020"
_MOBILENET = "Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017"
_MOBILENETV2 = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018"
_MOBILENETV3 = "Howard et al., Searching for MobileNetV3, 2019"
_EFFICIENTNET = "Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019"
_SHUFFLENETV2 = "Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, 2018"
_CONVNEXT = "Liu et al., A ConvNet for the 2020s, 2022"
_CONVMIXER = "Trockman and Kolter, Patches Are All You Need?, 2022"
_REPVGG = "Ding et al., RepVGG: Making VGG-style ConvNets Great Again, 2021"
_MOBILEONE = "Vasu et al., An Improved One Millisecond Mobile Backbone, 2022"
_GHOSTNET = "Han et al., GhostNet: More Features from Cheap Operations, 2020"
_REPVIT = "Wang et al., RepViT: Revisiting Mobile CNN From ViT Perspective, 2023"
_CSPNET = "Wang et al., CSPNet: A New Backbone that can Enhance Learning Capability of CNN, 2019"
_UNET = "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015"
_FCN = "Long et al., Fully Convolutional Networks for Semantic Segmentation, 2015"
_DEEPLABV3 = "Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017"
_C3D = "Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, 2015"
_R2PLUS1D = "Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, 2018"
_S3D = "Xie et al., Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification, 2018"
_I3D = "Carreira and Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset, 2017"
_BALLAS = "Ballas et al., Delving Deeper into Convolutional Networks for Learning Video Representations, 2016"
_LRCN = "Donahue et al., Long-term Recurrent Convolutional Networks for Visual Recognition and Description, 2015"
_TWO_STREAM = "Simonyan and Zisserman, Two-Stream Convolutional Networks for Action Recognition in Videos, 2014"

ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry("lenet5", "lenet:LeNet5", (1, 32, 32), 61_706, _LECUN, 10),
        ZooEntry("alexnet", "alexnet:AlexNet", (3, 224, 224), 61_100_840, _KRIZHEVSKY),
        ZooEntry("alexnet_2012", "alexnet:AlexNet2012", (3, 227, 227), 60_965_224, _ALEXNET),
        ZooEntry("vgg16", "vgg:vgg16", (3, 224, 224), 138_357_544, _SIMONYAN),
        ZooEntry("vgg16_bn", "vgg:vgg16_bn", (3, 224, 224), 138_365_992, _IOFFE),
        ZooEntry("resnet18", "resnet:resnet18", (3, 224, 224), 11_689_512, _HE),
        ZooEntry("resnet34", "resnet:resnet34", (3, 224, 224), 21_797_672, _HE),
        ZooEntry("resnet50", "resnet:resnet50", (3, 224, 224), 25_557_032, _HE),
        ZooEntry("resnet50_v1", "resnet:resnet50_v1", (3, 224, 224), 25_557_032, _HE),
        ZooEntry("resnet50d", "resnet:resnet50d", (3, 224, 224), 25_576_264, _TRICKS),
        ZooEntry("resnet50_gn", "resnet:resnet50_gn", (3, 224, 224), 25_557_032, _GROUPNORM),
        ZooEntry("wide_resnet50_2", "resnet:wide_resnet50_2", (3, 224, 224), 68_883_240, _WIDE),
        ZooEntry("resnext50_32x4d", "resnet:resnext50_32x4d", (3, 224, 224), 25_028_904, _RESNEXT),
        ZooEntry("seresnet50", "senet:seresnet50", (3, 224, 224), 28_088_024, _SENET),
        ZooEntry("preactresnet18", "preact:preactresnet18", (3, 224, 224), 11_687_720, _PREACT),
        ZooEntry("nf_resnet26", "nf_resnet:nf_resnet26", (3, 224, 224), 15_995_176, _NF),
        ZooEntry("resnet20", "resnet_cifar:resnet20", (3, 32, 32), 269_722, _HE, 10),
        ZooEntry("resnet56", "resnet_cifar:resnet56", (3, 32, 32), 853_018, _HE, 10),
        ZooEntry("plain20", "resnet_cifar:plain20", (3, 32, 32), 269_722, _HE, 10),
        ZooEntry("plain56", "resnet_cifar:plain56", (3, 32, 32), 853_018, _HE, 10),
        ZooEntry("densenet121", "densenet:densenet121", (3, 224, 224), 7_978_856, _DENSENET),
        ZooEntry("googlenet", "googlenet:GoogLeNet", (3, 224, 224), 6_624_904, _GOOGLENET),
        ZooEntry("inception_v3", "inception:InceptionV3", (3, 299, 299), 23_834_568, _INCEPTION),
        ZooEntry("squeezenet1_0", "squeezenet:squeezenet1_0", (3, 224, 224), 1_248_424, _SQUEEZENET),
        ZooEntry("squeezenet1_1", "squeezenet:squeezenet1_1", (3, 224, 224), 1_235_496, _SQUEEZENET),
        ZooEntry("regnet_y_400mf", "regnet:regnet_y_400mf", (3, 224, 224), 4_344_144, _REGNET),
        ZooEntry("mobilenet_v1", "mobilenet_v1:MobileNetV1", (3, 224, 224), 4_231_976, _MOBILENET),
        ZooEntry("mobilenet_v2", "mobilenet_v2:MobileNetV2", (3, 224, 224), 3_504_872, _MOBILENETV2),
        ZooEntry("mobilenet_v3_large", "mobilenet_v3:mobilenet_v3_large", (3, 224, 224), 5_483_032, _MOBILENETV3),
        ZooEntry("mobilenet_v3_small", "mobilenet_v3:mobilenet_v3_small", (3, 224, 224), 2_542_856, _MOBILENETV3),
        ZooEntry("efficientnet_b0", "efficientnet:EfficientNet", (3, 224, 224), 5_288_548, _EFFICIENTNET),
        ZooEntry("shufflenet_v2_x1_0", "shufflenet:ShuffleNetV2", (3, 224, 224), 2_278_604, _SHUFFLENETV2),
        ZooEntry("convnext_tiny", "convnext:ConvNeXt", (3, 224, 224), 28_589_128, _CONVNEXT),
        ZooEntry("convmixer_768_32", "convmixer:convmixer_768_32", (3, 224, 224), 21_110_248, _CONVMIXER),
        ZooEntry("repvgg_a0", "repvgg:repvgg_a0", (3, 224, 224), 9_108_968, _REPVGG),
        ZooEntry("mobileone_s0", "mobileone:mobileone_s0", (3, 224, 224), 5_293_272, _MOBILEONE),
        ZooEntry("ghostnet_100", "ghostnet:GhostNet", (3, 224, 224), 5_182_508, _GHOSTNET),
        ZooEntry("repvit_m0_9", "repvit:RepViT", (3, 224, 224), 5_489_328, _REPVIT),
        ZooEntry("cspdarknet53", "cspdarknet53:CSPDarknet53", (3, 256, 256), 27_642_184, _CSPNET),
        ZooEntry("unet", "unet:UNet", (3, 256, 256), 31_037_698, _UNET, 2),
        ZooEntry("fcn_resnet50", "fcn:fcn_resnet50", (3, 224, 224), 32_957_013, _FCN, 21),
        ZooEntry("deeplabv3_resnet50", "deeplab:deeplabv3_resnet50", (3, 224, 224), 39_638_869, _DEEPLABV3, 21),
        ZooEntry("c3d", "c3d:C3D", (3, 16, 112, 112), 79_991_015, _C3D, 487),
        ZooEntry("r3d_18", "video_resnet:r3d_18", (3, 16, 112, 112), 33_371_472, _R2PLUS1D, 400),
        ZooEntry("r2plus1d_18", "video_resnet:r2plus1d_18", (3, 16, 112, 112), 31_505_325, _R2PLUS1D, 400),
        ZooEntry("s3d", "s3d:S3D", (3, 16, 224, 224), 8_320_048, _S3D, 400),
        ZooEntry("i3d", "i3d:InceptionI3d", (3, 64, 224, 224), 12_697_264, _I3D, 400),
        ZooEntry(
            "two_stream",
            "two_stream:TwoStream",
            (3, 224, 224),
            181_335_594,
            _TWO_STREAM,
            101,
            (("flow", (20, 224, 224)),),
        ),
        ZooEntry(
            "two_stream_i3d",
            "two_stream_i3d:TwoStreamI3D",
            (3, 64, 224, 224),
            25_372_576,
            _I3D,
            400,
            (("flow", (2, 64, 224, 224)),),
        ),
        ZooEntry(
            "conv_gru",
            "conv_gru:ConvGRUNet",
            (3, 224, 224),
            28_980_948,
            _BALLAS,
            101,
            (("h2", (64, 56, 56)), ("h3", (128, 28, 28)), ("h4", (256, 14, 14)), ("h5", (256, 7, 7))),
            ("h2", "h3", "h4", "h5"),
        ),
        ZooEntry(
            "cnn_lstm",
            "cnn_lstm:CNNLSTM",
            (3, 227, 227),
            44_571_365,
            _LRCN,
            101,
            (("h", (256,)), ("c", (256,))),
            ("h", "c"),
        ),
    )
}


def build(name: str, *, seed: int = 0, num_classes: int | None = None) -> nn.Module:
    """Build a reference net in eval mode, with seeded random weights; no global random state is touched.

    Args:
        name: a key of `ZOO`.
        seed: of the weights and of the BatchNorm statistics.
        num_classes: outputs of the last layer; the paper's if None.

    Raises:
        UsageError: no net has that name, the number of classes is not positive, or PyTorch is not installed.
    """
    module = on_meta(name, num_classes).to_empty(device="cpu")  # no random numbers for values that `fill` replaces
    from cnnc.zoo.weights import fill

    fill(module, seed)
    return module


def on_meta(name: str, num_classes: int | None = None) -> nn.Module:
    """The net in eval mode on the meta device: shapes without memory for values; raises as `build`."""
    if name not in ZOO:
        close = difflib.get_close_matches(name, ZOO)
        hint = f"did you mean {' or '.join(close)}?" if close else "`cnnc zoo` lists them"
        raise UsageError(f"no reference net is named {name!r}: {hint}")
    if num_classes is not None and num_classes < 1:
        raise UsageError(f"`num_classes` must be at least 1, not {num_classes}")
    require_torch(f"the zoo net {name!r}")
    import torch

    family, _, factory = ZOO[name].factory.partition(":")
    make = getattr(importlib.import_module(f"cnnc.zoo.{family}"), factory)
    with torch.device("meta"):
        module: nn.Module = make() if num_classes is None else make(num_classes)
    return module.eval()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cnnc.zoo' has no attribute {name!r}")
    require_torch(f"cnnc.zoo.{name}")
    return getattr(importlib.import_module(f"cnnc.zoo.{_HOME[name]}"), name)
