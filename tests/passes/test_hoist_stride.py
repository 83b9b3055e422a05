"""ResNets as the paper has them, strides in the 1x1 convolutions, compute a tenth less."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import torch

from cnnc.export import export
from cnnc.verify.tolerance import relative_error
from cnnc.zoo.resnet import BottleneckV1, ResNet
from cnnc.zoo.weights import fill
from cnnc_passes.costs import model_cost
from cnnc_passes.driver import Driver
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.laws.fold_batchnorm import FoldBatchNorm
from cnnc_passes.laws.hoist_stride import HoistStride
from tests.contract.graphs import run_on_engine


@pytest.mark.parametrize(
    ("depths", "saved"), [((2, 2, 2, 2), 0.11), pytest.param((3, 4, 6, 3), 0.09, marks=pytest.mark.slow)]
)
def test_resnet_v1_computes_a_tenth_less(depths: tuple[int, ...], saved: float) -> None:
    """Twice a stage: from the 1x1 convolutions into the last block's end, and from there into its 3x3."""
    net = ResNet(BottleneckV1, depths, num_classes=10).eval()
    fill(net, seed=0)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model = export(net, image)
    InferShapes()(model)
    driver = Driver(model)
    driver.run(FoldBatchNorm())
    before = model_cost(model)
    assert driver.run(HoistStride())
    applied = [one for one in driver.instances if one.applied and one.law == "hoist-stride"]
    assert len(applied) == 6
    assert model_cost(model).macs < (1 - saved) * before.macs
    assert sum(node.op_type == "MaxPool" for node in model.graph) == 1 + 3  # the stem's, and one a shortcut
    with torch.no_grad():
        (scores,) = run_on_engine(ir.to_proto(model), {str(model.graph.inputs[0].name): image.numpy()})
        assert relative_error(scores, net.double()(image.double()).numpy()) < 1e-4
