"""The list: each network of the field with its command, page and tests; and what is looked at beside networks."""

from __future__ import annotations

import dataclasses
import itertools
import shlex

from cnnc.examples import parse_shapes
from cnnc.zoo import ZOO

__all__ = ["END_TO_END", "SUBJECTS", "SYSTEMS", "Subject", "System", "Test"]

Test = tuple[str, str]
"""A path for pytest, and the word after its -k."""
END_TO_END = "tests/systems"
"""Has a test for each system, of its name: compiled, proved, run on a picture or film, analyzed."""


@dataclasses.dataclass(frozen=True)
class System:
    """A network and how it is compiled.

    Attributes:
        what: the table's words for it.
        net: of the zoo.
        page: where it is explained, in docs/systems, with an anchor or without.
        options: of `cnnc compile`.
        name: as --nets has it, and the artifact is called; the network's where nothing else is given.
        tests: beside the one that all systems have.
        note: what must be known of its figures.
        is_addition: the artifact does more than the network: measured against the plain artifact as well.
    """

    what: str
    net: str
    page: str
    options: tuple[str, ...] = ()
    name: str = ""
    tests: tuple[Test, ...] = ()
    note: str = ""
    is_addition: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.net)

    @property
    def command(self) -> str:
        """What a reader types."""
        return shlex.join(["cnnc", "compile", self.net, *self.options, "-o", f"{self.name}.onnx"])

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the inputs, batch 1 included, by name or ""; those of the zoo where no option says others."""
        given = [text for option, text in itertools.pairwise(self.options) if option == "--input-shape"]
        entry = ZOO[self.net]
        if given or entry.other_inputs:
            return parse_shapes(given)
        return {"": (1, *entry.input_shape)}

    @property
    def every_test(self) -> tuple[Test, ...]:
        """All that cover it, the common one first."""
        return ((END_TO_END, f"[{self.name}]"), *self.tests)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is looked at in any network: a command shows it, a page explains it, tests hold it."""

    what: str
    command: str
    page: str
    tests: tuple[Test, ...]


_EXPLAIN = "tests/compiler/test_explain.py"
_RECURRENT = "tests/compiler/test_recurrent.py"
_ZOO = "tests/compiler/test_zoo.py"
_TWINS = ((_ZOO, "plain_nets_have_the_residual_nets_parameters"),)
_STREAMED = ((_RECURRENT, "zoos_nets_over_64_frames"), ("tests/runtime/test_state_stream.py", "stays_on_the_device"))
_BY_FRAMES = ("--target", "cpu")  # clips frame by frame: docs/lowering.md
_STEP = "latency is that of one frame"
_SMALLEST = ("--static", "--input-shape", "rgb:1,3,9,193,193", "--input-shape", "flow:1,2,9,193,193")
_SQUARES = ("--preprocess", "symmetric", "--size", "193", "--crop", "193")
_FLOW_OF_I3D = ("--flow-input", "flow", "--flow-values", "unit")

SYSTEMS: tuple[System, ...] = (
    System("LeNet-5", "lenet5", "convolution.md#against-a-fully-connected-layer"),
    System("AlexNet as torchvision has it", "alexnet", "convolution.md#against-a-fully-connected-layer"),
    System(
        "AlexNet of 2012: two groups, local response normalization",
        "alexnet_2012",
        "convolution.md#kernels",
        tests=((_ZOO, "response_normalization"),),
    ),
    System(
        "VGG-16",
        "vgg16",
        "convolution.md#receptive-field",
        tests=(("tests/compiler/test_analysis.py", "nine_tenths_fully_connected"),),
    ),
    System("ResNet-18", "resnet18", "transfer_learning.md"),
    System("ResNet-34", "resnet34", "lectures.md#residual-networks"),
    System("ResNet-50, v1.5: stride in the 3x3", "resnet50", "lectures.md#residual-networks"),
    System(
        "ResNet-50 of the paper: stride in the 1x1",
        "resnet50_v1",
        "lectures.md#residual-networks",
        tests=((_ZOO, "strides_of_resnet50"),),
    ),
    System("ResNet-20 for CIFAR", "resnet20", "lectures.md#residual-networks"),
    System("ResNet-56 for CIFAR", "resnet56", "lectures.md#residual-networks"),
    System("plain-20, its twin without shortcuts", "plain20", "lectures.md#residual-networks", tests=_TWINS),
    System("plain-56", "plain56", "lectures.md#residual-networks", tests=_TWINS),
    System(
        "GroupNorm: ResNet-50",
        "resnet50_gn",
        "convolution.md#normalization",
        tests=((_ZOO, "group_norm_net"),),
    ),
    System("LayerNorm and GELU: ConvNeXt-T", "convnext_tiny", "convolution.md#normalization"),
    System("depthwise convolutions, ReLU6: MobileNetV2", "mobilenet_v2", "lectures.md#activations"),
    System(
        "CAM",
        "resnet18",
        "cam.md",
        ("--explain", "cam"),
        "resnet18_cam",
        ((_EXPLAIN, "cam"),),
        "eager is the network without a heat map",
        is_addition=True,
    ),
    System(
        "Grad-CAM",
        "resnet18",
        "cam.md",
        ("--explain", "gradcam"),
        "resnet18_gradcam",
        ((_EXPLAIN, "equal_to_autograd"),),
        "eager is the network without a heat map",
        is_addition=True,
    ),
    System(
        "heat maps of a classifier on larger images",
        "alexnet",
        "heat_maps.md",
        ("--fully-convolutional",),
        "alexnet_fully_convolutional",
        (("tests/compiler/test_fully_convolutional.py", "networks_of_the_zoo"),),
        "latency is that of one window, 224x224, where it computes what AlexNet does; it takes any larger image",
        is_addition=True,
    ),
    System("segmentation: U-Net", "unet", "segmentation.md", tests=(("tests/cli/test_run_masks.py", "mask"),)),
    System("segmentation: FCN on ResNet-50", "fcn_resnet50", "segmentation.md"),
    System("3-D CNN: C3D", "c3d", "video.md", _BY_FRAMES),
    System("3-D CNN: R3D-18", "r3d_18", "video.md", _BY_FRAMES, tests=(("tests/cli/test_run_clips.py", "pytorchs"),)),
    System("3-D CNN: R(2+1)D-18", "r2plus1d_18", "video.md", _BY_FRAMES),
    System(
        "3-D CNN inflated from 2-D: I3D",
        "i3d",
        "video.md#inflating-a-2-d-net",
        ("--input-shape", "1,3,16,224,224", *_BY_FRAMES),
        tests=(("tests/compiler/test_inflation.py", "i3d"),),
        note="on 16 frames, not the paper's 64, whose proof takes four times as long",
    ),
    System(
        "two-stream",
        "two_stream",
        "two_stream.md",
        ("--preprocess", "imagenet", "--flow-input", "flow"),
        tests=(("tests/cli/test_run_two_stream.py", "one_video_feeds_both"),),
    ),
    System(
        "two-stream I3D",
        "two_stream_i3d",
        "two_stream.md#on-clips",
        (*_SMALLEST, *_SQUARES, *_FLOW_OF_I3D),
        tests=(("tests/compiler/test_two_stream.py", "two_stream_i3d"),),
        note="on 9 frames of 193x193, the least it takes, not the paper's 64 of 224x224",
    ),
    System("CNN + RNN: ConvGRU on VGG-16", "conv_gru", "recurrent.md", tests=_STREAMED, note=_STEP),
    System("CNN + RNN: LSTM on CaffeNet", "cnn_lstm", "recurrent.md", tests=_STREAMED, note=_STEP),
)

_ANALYSIS = "tests/compiler/test_analysis.py"
_EXAMPLES = "tests/examples"

SUBJECTS: tuple[Subject, ...] = (
    Subject(
        "convolution against fully connected: 456 parameters against 14,455,392",
        "cnnc analyze six.py:six --input-shape 1,3,32,32 --prove",
        "convolution.md#against-a-fully-connected-layer",
        ((_ANALYSIS, "six_filters"), ("tests/compiler/test_toeplitz.py", "lectures")),
    ),
    Subject(
        "output size, floor((w + 2p - k)/s) + 1, with its numbers",
        "cnnc analyze alexnet",
        "convolution.md#output-size",
        (("tests/passes/test_shapes.py", "formula"),),
    ),
    Subject(
        "receptive field, jump and start",
        "cnnc analyze vgg16",
        "convolution.md#receptive-field",
        (("tests/compiler/test_receptive_field.py", "test_zoo"),),
    ),
    Subject(
        "normalizations and their axes",
        "cnnc compile resnet18 -o resnet18.onnx",
        "convolution.md#normalization",
        (("tests/compiler/test_learned.py", "normalizations"),),
    ),
    Subject(
        "first kernels, drawn",
        "cnnc analyze alexnet_2012 --html alexnet.html",
        "convolution.md#kernels",
        (("tests/report/test_report.py", "kernels_are_shown"), (_EXAMPLES, "[kernels]")),
    ),
    Subject(
        "initializations: vanishing and exploding activations and gradients",
        "python examples/initialization.py",
        "lectures.md#initialization",
        (("tests/compiler/test_activations.py", "weights_vanish"), (_EXAMPLES, "[initialization]")),
    ),
    Subject(
        "activations: dead and saturated units on data",
        "python examples/activations.py",
        "lectures.md#activations",
        (("tests/compiler/test_activations.py", "dead_rectifiers"), (_EXAMPLES, "[activations]")),
    ),
    Subject(
        "BatchNorm against none",
        "python examples/batchnorm.py",
        "lectures.md#batchnorm",
        ((_EXAMPLES, "[batchnorm]"),),
    ),
    Subject(
        "residual against plain, trained",
        "python examples/residual.py",
        "lectures.md#residual-networks",
        ((_EXAMPLES, "[residual]"),),
    ),
    Subject(
        "linear separability, depth by depth",
        "python examples/separability.py",
        "lectures.md#separability",
        (("tests/compiler/test_activation_probes.py", "separates_the_classes"), (_EXAMPLES, "[separability]")),
    ),
    Subject(
        "transfer learning: another head, frozen by depth",
        "python examples/transfer_learning.py",
        "transfer_learning.md",
        (("tests/compiler/test_transfer.py", "another_number_of_classes"), (_EXAMPLES, "[transfer_learning]")),
    ),
)
