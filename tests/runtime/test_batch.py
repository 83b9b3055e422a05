"""Batches: every item gets its own result, whatever the grouping."""

import numpy as np
import pytest
from onnx import helper

from cnnc_runtime import Failure, Item, Result, load, run_items
from cnnc_runtime.errors import InvalidInputError, UsageError
from tests.runtime.models import channel_means, relu, serialized


def items(count: int, *shape: int) -> list[Item]:
    rng = np.random.default_rng(0)
    return [Item(f"i{n}", {"x": rng.standard_normal(shape).astype("f4")}) for n in range(count)]


@pytest.mark.parametrize("batch", [None, 1, 2, 3, 7, 100])
def test_results_do_not_depend_on_the_batch(batch):
    given = items(7, 3, 8, 8)
    results = list(run_items(load(relu(), device="cpu"), given, batch))
    assert [result.name for result in results] == [item.name for item in given]
    for item, result in zip(given, results, strict=True):
        np.testing.assert_array_equal(result.outputs["y"], np.maximum(item.feed["x"], 0))


def test_a_fixed_batch_is_filled_and_trimmed():
    engine = load(channel_means(batch=4), device="cpu")
    given = items(6, 3, 8, 8)
    results = list(run_items(engine, given))
    assert len(results) == 6
    for item, result in zip(given, results, strict=True):
        np.testing.assert_allclose(result.outputs["y"], item.feed["x"].mean(axis=(1, 2)), atol=1e-6)
    with pytest.raises(UsageError, match="batches of 4"):
        list(run_items(engine, given, 2))


def test_shapes_are_not_mixed_in_a_batch():
    engine = load(relu(("n", 1, "h", "w")), device="cpu")
    given = [*items(2, 1, 4, 4), *items(3, 1, 6, 5), *items(1, 1, 4, 4)]
    shapes = [result.outputs["y"].shape for result in run_items(engine, given)]
    assert shapes == [(1, 4, 4)] * 2 + [(1, 6, 5)] * 3 + [(1, 4, 4)]


def test_failures_pass_through_and_a_failed_run_yields_them():
    engine = load(relu(), device="cpu")
    broken = Failure("bad", InvalidInputError("bad: broken"))
    misfit = items(1, 3, 9, 9)[0]
    out = list(run_items(engine, [*items(2, 3, 8, 8), broken, misfit, *items(1, 3, 8, 8)], 2))
    assert sum(isinstance(one, Result) for one in out) == 3
    assert broken in out
    assert any(isinstance(one, Failure) and "i0: input 'x' expects" in str(one.error) for one in out)


def test_an_output_without_a_batch_axis_is_not_cut_up():
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    engine = load(serialized([node], {"x": ("n", 4)}, ["y"]), device="cpu")
    (failure,) = run_items(engine, items(1, 4))
    assert "no batch axis" in str(failure.error)


def test_batch_below_one():
    with pytest.raises(UsageError, match="at least 1"):
        list(run_items(load(relu(), device="cpu"), [], 0))
