"""What onnxruntime cannot run before explicit-pads, and can after it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from cnnc_passes.pipeline import optimize
from tests.contract.graphs import feeds, run_exactly, run_on_engine
from tests.contract.laws.explicit_pads import conv


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("kernel", [3, 4])
def test_a_dilated_same_runs_with_its_pads_written_out(auto_pad: str, kernel: int) -> None:
    before = conv(auto_pad, kernel=kernel, size=9, dilations=[2, 2], strides=[1, 2])
    (feed, *_) = feeds(before)
    with pytest.raises(Exception, match="Dilation not supported"):
        run_on_engine(before, feed)
    graph = ir.from_proto(before)
    assert optimize(graph).applied()["explicit-pads"] == 1
    (got,), (want,) = run_on_engine(ir.to_proto(graph), feed), run_exactly(before, feed)
    np.testing.assert_allclose(got, want, atol=1e-5)
