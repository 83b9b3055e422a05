"""The float64 evaluator's other operators against onnxruntime: those where onnx's own are wrong, slow or narrow."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from onnx import TensorProto

from cnnc.verify.reference import Float64Evaluator
from tests.compiler.one_node import RANKS, SIZES, agrees, f32, graph, i64, noise


@RANKS
def test_normalizations(rank: int) -> None:
    x, spatial = noise(3, 4, *SIZES[rank]), SIZES[rank]
    scale, bias, mean, var = noise(4), noise(4), noise(4), np.abs(noise(4)) + 0.5
    for opset in (7, 9, 14, 15):
        agrees("BatchNormalization", x, scale, bias, mean, var, opset=opset, epsilon=0.01, momentum=0.5)
    agrees("BatchNormalization", x, scale, bias, mean, var, opset=15, outputs=3, training_mode=1, momentum=0.7)
    each = [noise(4, *spatial) for _ in range(3)]
    agrees("BatchNormalization", x, *each, np.abs(noise(4, *spatial)) + 0.5, opset=7, spatial=0)
    agrees("InstanceNormalization", x, scale, bias, opset=7, epsilon=0.01)
    agrees("GroupNormalization", x, scale[:2], bias[:2], opset=18, num_groups=2)
    agrees("GroupNormalization", x, scale, bias, opset=21, num_groups=2, epsilon=0.01)
    for axis in (1, -1):
        weights = noise(*x.shape[axis:])
        agrees("LayerNormalization", x, weights, noise(*x.shape[axis:]), outputs=3, axis=axis, epsilon=0.01)
    agrees("MeanVarianceNormalization", x, opset=13, axes=[0, *range(2, 2 + rank)])
    for p in (1, 2):
        agrees("LpNormalization", x, opset=7, axis=1, p=p)
    if rank == 2:
        for size in (1, 3, 5):
            agrees("LRN", x, opset=13, size=size, alpha=0.3, beta=0.6, bias=1.5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize(mode: str) -> None:
    x = noise(2, 3, 10, 7)
    coordinates = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]
    for transform, scale in itertools.product(coordinates, (2.0, 0.7, 1.5, 0.33)):
        same = {"mode": mode, "coordinate_transformation_mode": transform, "opset": 19}
        agrees("Resize", x, None, f32(1, 1, scale, 1.3), **same)
        agrees("Resize", x, None, None, i64(2, 3, int(9 * scale), 1), **same)
        agrees("Resize", x, None, f32(scale, 1.3), axes=[3, -2], **same)
        agrees("Resize", x, None, None, i64(8, 3), axes=[2, 3], keep_aspect_ratio_policy="not_larger", **same)
        for outside in (0, 1) if mode != "nearest" else ():
            smooth = {"antialias": 1, "cubic_coeff_a": -0.5, "exclude_outside": outside}
            agrees("Resize", x, None, f32(1, 1, scale, scale), **smooth, **same)
        if mode == "cubic":
            agrees("Resize", x, None, f32(1, 1, scale, scale), exclude_outside=1, **same)
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.5, "mode": mode}
    agrees("Resize", x, f32(0, 0, -0.1, 0.2, 1, 1, 0.8, 1.3), None, i64(2, 3, 6, 1), opset=13, **crop)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_takes_the_pixel_that_the_engine_takes(rounding: str) -> None:
    transforms = ["half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric", "tf_half_pixel_for_nn"]
    for transform, scale in itertools.product(transforms, (2.6, 1.3, 0.7, 0.3, 0.25)):
        opset = 13 if transform == "tf_half_pixel_for_nn" else 19
        agrees("Resize", noise(1, 1, 241), None, f32(1, 1, scale), opset=opset, mode="nearest", nearest_mode=rounding,
               coordinate_transformation_mode=transform)  # fmt: skip


@RANKS
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(rank: int, mode: str) -> None:
    x = noise(2, 3, *SIZES[rank])
    for scale in (2.0, 1.5, 2.6):
        scales = f32(1, 1, *[scale] * rank)
        agrees("Upsample", x, opset=7, mode=mode, scales=scales.tolist())
        agrees("Upsample", x, scales, opset=9, mode=mode)
        agrees("Resize", x, scales, opset=10, mode=mode)
        agrees("Resize", x, f32(), scales, opset=11, mode=mode)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("opset", [7, 11, 13])
def test_softmax_before_and_since_opset_13(op: str, opset: int) -> None:
    agrees(op, noise(2, 3, 4, 5) * 9, opset=opset)
    for axis in (0, 1, 3):
        agrees(op, noise(2, 3, 4, 5), opset=opset, axis=axis)


def test_activations() -> None:
    x = np.linspace(-9, 9, 181, dtype=np.float32).reshape(1, -1)
    for op in ("Erf", "HardSwish", "Sigmoid", "Softplus", "HardSigmoid", "Elu", "Selu"):
        agrees(op, x, opset=14)
    agrees("Mish", x, opset=18)
    for approximate in ("none", "tanh"):
        agrees("Gelu", x, approximate=approximate)


def test_activations_are_float64_to_the_last_bits() -> None:
    x = noise(50)
    wide = x.astype(np.float64)
    exact = {
        "Erf": [math.erf(v) for v in wide],
        "Gelu": [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in wide],
        "HardSwish": wide * np.clip(wide / 6 + 0.5, 0, 1),
        "Mish": wide * np.tanh(np.log1p(np.exp(wide))),
    }
    for op, values in exact.items():
        proto, feed = graph(op, [x], False, 20, 1, "")
        np.testing.assert_allclose(Float64Evaluator(proto).run(feed)[0], values, rtol=0, atol=1e-14)


def test_pad() -> None:
    x, pads = noise(2, 4, 6, 5), [0, 0, -1, 2, 0, 0, 1, -2]
    for mode in ("constant", "edge", "reflect"):
        agrees("Pad", x, opset=2, pads=pads, mode=mode)
        agrees("Pad", x, i64(*pads), opset=11, mode=mode)
        agrees("Pad", x, i64(1, -1, 2, 0), None, i64(-1, 2), opset=18, mode=mode)
    agrees("Pad", x, opset=2, pads=pads, value=1.5)
    agrees("Pad", x, i64(*pads), np.array(-np.inf, np.float32), opset=13)
    agrees("Pad", x, i64(1, 2, 0, 3), None, i64(2, 3), opset=19, mode="wrap")


def test_moving_and_typing() -> None:
    x = noise(2, 8, 4, 6) * 9
    agrees("DepthToSpace", x, opset=7, blocksize=2)
    agrees("DepthToSpace", x, opset=13, blocksize=2, mode="CRD")
    for to in (TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL):
        agrees("Cast", np.abs(x), opset=13, to=to)
    agrees("OneHot", i64(0, 2, -1), i64(4), f32(0.25, 1.5), opset=11, axis=0)
    stored = x.astype(np.int8)
    agrees("DequantizeLinear", stored, np.array(0.05, np.float32), np.array(3, np.int8), opset=10)
    agrees("DequantizeLinear", stored, np.abs(noise(8)), np.ones(8, np.int8), opset=13, axis=1)
    agrees("DequantizeLinear", stored, np.abs(noise(2, 4, 4, 6)), opset=21, axis=1, block_size=2)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(padding: str) -> None:
    x, grid = noise(2, 3, 6, 5), noise(2, 4, 5, 2)
    for align, opset in itertools.product((0, 1), (16, 20)):
        for mode in ("nearest", "bilinear", "bicubic") if opset == 16 else ("nearest", "linear", "cubic"):
            agrees("GridSample", x, grid, opset=opset, mode=mode, padding_mode=padding, align_corners=align)
    agrees("GridSample", noise(2, 3, 4, 5, 6), noise(2, 2, 3, 4, 3), mode="linear", padding_mode=padding)


def test_affine_grid_and_regions() -> None:
    for align in (0, 1):
        agrees("AffineGrid", noise(2, 2, 3), i64(2, 3, 4, 5), align_corners=align)
    agrees("AffineGrid", noise(2, 3, 4), i64(2, 3, 4, 5, 6))
    boxes, batch = f32(0, 0, 4, 4, 1, 1, 3, 5).reshape(2, 4), i64(0, 1)
    for opset in (10, 16):
        agrees("RoiAlign", noise(2, 3, 6, 6), boxes, batch, opset=opset, output_height=3, output_width=2,
               sampling_ratio=2, spatial_scale=0.8)  # fmt: skip


@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 1), (1, 2)])
def test_deformable_convolution(groups: int, offset_groups: int) -> None:
    x, w, b, k = noise(2, 4, 9, 8), noise(6, 4 // groups, 3, 3), noise(6), 9 * offset_groups
    same = {"group": groups, "offset_group": offset_groups, "opset": 19}
    agrees("DeformConv", x, w, noise(2, 2 * k, 7, 6) * 2, **same)
    agrees("DeformConv", x, w, noise(2, 2 * k, 5, 4), b, noise(2, k, 5, 4), strides=[2, 2], pads=[1] * 4, **same)
