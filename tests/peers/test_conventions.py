"""The count of each convention is what its tool prints: to the last digit, with the tool itself beside it.

The tools: `pip install -c constraints.txt -e '.[peers]'`; then `make test-peers`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from cnnc.analysis.conventions import CONVENTIONS, count
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc_passes.infer_shapes import InferShapes
from tests.peers.nets import Helper, OneLine, Parts, Subclasses, Twice

pytestmark = pytest.mark.peers
Totals = dict[str, int]

NETS = (
    *("lenet5", "alexnet", "vgg16_bn", "resnet18", "resnet50", "resnet50_gn", "nf_resnet26", "densenet121"),
    *("googlenet", "inception_v3", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x1_0"),
    *("convnext_tiny", "ghostnet_100", "repvit_m0_9", "unet", "r3d_18", "s3d"),
)
OWN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "parts": (Parts, (3, 16, 16)),
    "subclasses": (Subclasses, (3, 8, 8)),
    "one_line": (OneLine, (3, 8, 8)),
    "helper": (Helper, (3, 8, 8)),
    "twice": (Twice, (4, 8)),
}
# What a graph cannot tell: (tool, net) -> how much more cnnc counts than the tool, and why.
DIFFERENCES: dict[tuple[str, str], tuple[int, str]] = {
    ("ptflops", "one_line"): (3 * 8 * 8, "F.relu and x.relu on one line of code: both look like F.relu"),
    ("ptflops", "helper"): (3 * 8 * 8, "x.relu in a function outside forward, of which the graph has no line"),
    ("torchinfo", "twice"): (-8, "a network's own module called twice in a row looks like one call"),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", [*NETS, *OWN])
def test_totals_are_the_tools_own(name: str) -> None:
    make, shape = OWN[name] if name in OWN else (lambda: build(name), ZOO[name].input_shape)
    module = make().eval()
    graph = export(module, torch.zeros(2, *shape))
    InferShapes()(graph)
    counts = {tool: count(graph, tool, {"batch": 1}) for tool in CONVENTIONS}
    printed, thop_params = tools_totals(module, shape)
    more = {tool: amount for (tool, net), (amount, _) in DIFFERENCES.items() if net == name}
    assert {tool: found.total - more.get(tool, 0) for tool, found in counts.items()} == printed
    assert counts["thop"].params == thop_params


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_count_as_the_tools_count_them(batch: int) -> None:
    from fvcore.nn import FlopCountAnalysis
    from thop import profile
    from torchinfo import summary

    module = build("resnet20")
    graph = export(module, torch.zeros(2, 3, 32, 32))
    InferShapes()(graph)
    x = torch.zeros(batch, 3, 32, 32)
    found = {tool: count(graph, tool, {"batch": batch}).total for tool in ("fvcore", "torchinfo", "thop")}
    assert found == {
        "fvcore": FlopCountAnalysis(module, x).total(),
        "torchinfo": summary(module, input_data=x, verbose=0).total_mult_adds,
        "thop": profile(module, (x,), verbose=False)[0],
    }


def tools_totals(module: nn.Module, shape: tuple[int, ...]) -> tuple[Totals, int]:
    """What each tool prints for one item, and thop's parameters.

    fvcore and ptflops need real tensors (on the device `meta` PyTorch itself calls functions that they count).
    """
    from fvcore.nn import FlopCountAnalysis
    from ptflops import get_model_complexity_info
    from thop import profile
    from torch.utils.flop_counter import FlopCounterMode
    from torchinfo import summary

    totals = {"fvcore": FlopCountAnalysis(module, torch.zeros(1, *shape)).total()}
    totals["ptflops"], params = get_model_complexity_info(module, shape, print_per_layer_stat=False, as_strings=False)
    assert params == sum(p.numel() for p in module.parameters())
    module, x = module.to("meta"), torch.zeros(1, *shape, device="meta")
    totals["torchinfo"] = summary(module, input_data=x, verbose=0).total_mult_adds
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    totals["flopcounter"] = counter.get_total_flops()
    totals["thop"], thop_params = profile(module, (x,), verbose=False)
    return totals, thop_params
