"""Every law has an example where it applies once, and which both checkers and the numbers accept."""

from __future__ import annotations

import pkgutil

import onnx
import onnx_ir as ir
import pytest

from cnnc_passes import laws
from cnnc_passes.demonstration import demonstrate, graph_text
from cnnc_passes.driver import Driver
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.laws.fold_scale import FoldScale
from cnnc_passes.pipeline import named_passes
from cnnc_passes.rewrite import Rewrite
from tests.contract.test_contract import assert_equal_models

EVERY = {name: step for name, step in named_passes().items() if isinstance(step, Rewrite)}


def test_every_file_of_laws_is_in_a_pipeline() -> None:
    assert {info.name.replace("_", "-") for info in pkgutil.iter_modules(laws.__path__)} == set(EVERY)


@pytest.mark.parametrize("law", EVERY.values(), ids=EVERY)
def test_a_law_applies_once_to_its_example(law: Rewrite) -> None:
    before, after = demonstrate(law)
    graph = ir.from_proto(before)
    InferShapes()(graph)
    driver = Driver(graph)
    assert driver.run(type(law)())
    assert [one.applied for one in driver.instances] == [True]
    for model in (before, after):
        onnx.checker.check_model(model, full_check=True)
    assert_equal_models(before, after)


def test_the_text_shows_what_there_is() -> None:
    before, after = map(graph_text, demonstrate(FoldScale()))
    assert before.splitlines() == [
        "g (float[N,1,4,4] x) => (float[N,2,4,4] y)",
        "   <float[2,1,1,1] w = {1,3},",
        "    float[2] b = {0,1},",
        "    float[2,1,1] s = {2,10}>",
        "{",
        "   c = Conv (x, w, b)",
        "   y = Mul (c, s)",
        "}",
    ]
    assert after.splitlines() == [
        "g (float[N,1,4,4] x) => (float[N,2,4,4] y)",
        '   <float[2,1,1,1] "y.weight" = {2,30},',
        '    float[2] "y.bias" = {0,10}>',
        "{",
        '   y = Conv (x, "y.weight", "y.bias")',
        "}",
    ]
