"""Compile one tiny network, load it at every optimization level, and hold it to float64 on unkind inputs.

Three facts make a case worth its time: it runs a batch that was never traced, it runs each input three times
on one session (a network with hidden state drifts), and its output is not constant (a constant proves nothing).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper

import cnnc
import cnnc_runtime
from cnnc.verify import TorchOracle
from cnnc.verify.reference import Float64Evaluator
from cnnc.verify.tolerance import accepts, relative_error
from cnnc_runtime.errors import CnncError

LEVELS = ("off", "basic", "all")
TARGETS = ("onnxruntime", "portable")
BATCH = 3  # the compiler traces at 2
KINDS = ("noise", "negative", "positive", "large", "spike")

_RUNS = 3
# Beyond this the original itself is wrong, and no measure for the artifact.
_LARGEST_OWN_ERROR = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-4, np.dtype(np.float16): 2e-2}

Feed = dict[str, np.ndarray]
Run = Callable[[Feed], list[np.ndarray]]
Truth = Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]


def values(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Seeded float32 numbers for a weight."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def check_module(
    module: torch.nn.Module,
    example: Any,
    *,
    sizes: Mapping[str, int] | None = None,
    batches: Sequence[int] = (BATCH,),
    also: Sequence[Feed] = (),
    **options: Any,
) -> onnx.ModelProto:
    """Compile `module` and compare the artifact with it; returns the artifact.

    Args:
        module: the network.
        example: its traced inputs; their values are not used again.
        sizes: of the open axes other than the batch, by name.
        batches: the batch sizes to run.
        also: inputs to run besides those of `KINDS`.
        options: of `cnnc.compile`.
    """
    content = cnnc.compile(module, example, device="cpu", **options).content
    assert content is not None
    oracle = TorchOracle(module)
    _compare(content, oracle.exact, oracle.original, sizes or {}, batches, also, 1.0)
    return onnx.load_from_string(content)


def check_proto(
    proto: onnx.ModelProto,
    truth: Truth | None = None,
    *,
    folder: Path,
    batches: Sequence[int] = (BATCH,),
    also: Sequence[Feed] = (),
    scale: float = 1.0,
    **options: Any,
) -> onnx.ModelProto:
    """Compile the graph `proto` from a file in `folder` and compare the artifact with it; returns the artifact.

    Args:
        proto: the network.
        truth: the network as a function of float64 PyTorch tensors; by default the float64 evaluator, which
            knows the ONNX standard only as far as onnx's own reference does.
        folder: where its file is put.
        batches, also: as `check_module`.
        scale: multiplies every input.
        options: of `cnnc.compile`.
    """
    path = folder / "original.onnx"
    onnx.save(proto, path)
    content = cnnc.compile(path, device="cpu", **options).content
    assert content is not None
    exact = Float64Evaluator(proto).run if truth is None else _in_torch(truth)
    with cnnc_runtime.load(proto.SerializeToString(), device="cpu", threads=1, optimization="off") as original:
        _compare(content, exact, lambda feed: list(original.run(feed).values()), {}, batches, also, scale)
    return onnx.load_from_string(content)


def right_or_refused(check: Callable[[], Any], *refusals: type[CnncError], match: str) -> None:
    """`check` passes, or cnnc refuses with one of these errors, its message matching: never a wrong result.

    For faults of the exporter or the engine, whose next release may have none.
    """
    try:
        check()
    except CnncError as error:
        assert isinstance(error, refusals), f"{type(error).__name__}: {error}"
        assert re.search(match, str(error)), str(error)


def nodes_of(proto: onnx.ModelProto, op: str) -> list[onnx.NodeProto]:
    """The nodes of an operator; a FusedConv counts as the Conv it holds."""
    names = {op, "FusedConv"} if op == "Conv" else {op}
    return [node for node in proto.graph.node if node.op_type in names]


def ints(node: onnx.NodeProto, name: str) -> list[int]:
    """An attribute that is a list of integers; empty where it is absent."""
    return [x for attribute in node.attribute if attribute.name == name for x in helper.get_attribute_value(attribute)]


def _in_torch(truth: Truth) -> Run:
    def run(feed: Feed) -> list[np.ndarray]:
        out = truth(*(torch.from_numpy(x.astype(np.float64)) for x in feed.values()))
        return [y.numpy() for y in (out if isinstance(out, tuple) else (out,))]

    return run


def _compare(
    content: bytes,
    exact: Run,
    original: Run,
    sizes: Mapping[str, int],
    batches: Sequence[int],
    also: Sequence[Feed],
    scale: float,
) -> None:
    """Every feed, at every level, three times on one session."""
    with cnnc_runtime.load(content, device="cpu", threads=1) as engine:
        feeds = [*_feeds(engine.inputs, sizes, batches, scale), *(("given", one) for one in also)]
    wanted = [(label, feed, exact(feed), original(feed)) for label, feed in feeds]
    for level in LEVELS:
        with cnnc_runtime.load(content, device="cpu", threads=1, optimization=level) as engine:
            for label, feed, truth, own in wanted:
                for _ in range(_RUNS):
                    got = engine.run(feed)
                    assert len(got) == len(own) == len(truth)
                    for (name, y), own_y, true_y in zip(got.items(), own, truth, strict=True):
                        where = f"output {name!r} on {label}, optimization {level}"
                        assert label != "noise" or np.ptp(true_y[np.isfinite(true_y)]) > 0, f"{where}: constant"
                        assert_equal(y, own_y, true_y, where)


def assert_equal(got: np.ndarray, own: np.ndarray, exact: np.ndarray, where: str) -> None:
    """`got` equals `exact` as well as `own`, the original in its own precision, does: the verifier's tolerance."""
    assert got.shape == own.shape == exact.shape, f"{where}: shapes {got.shape}, {own.shape}, {exact.shape}"
    assert got.dtype == own.dtype, f"{where}: types {got.dtype}, {own.dtype}"
    exact = np.where(np.isfinite(own), exact, own)  # an overflow of the original is its result
    assert not (np.isnan(got) & ~np.isnan(exact)).any(), f"{where}: a NaN of our own"
    own_error, error = relative_error(own, exact), relative_error(got, exact)
    assert own_error <= _LARGEST_OWN_ERROR.get(own.dtype, 0.0), f"{where}: the original is off by {own_error:.1e}"
    assert accepts(error, own_error, got.dtype), f"{where}: off by {error:.1e}, the original by {own_error:.1e}"


def _feeds(
    inputs: Sequence[Any], sizes: Mapping[str, int], batches: Sequence[int], scale: float
) -> Iterator[tuple[str, Feed]]:
    rng = np.random.default_rng(11)
    for batch in batches:
        shapes = {
            spec.name: (tuple(n if isinstance(n, int) else sizes.get(n, batch) for n in spec.shape), spec.dtype)
            for spec in inputs
        }
        for kind in KINDS:
            yield kind, {name: _array(kind, shape, dtype, scale, rng) for name, (shape, dtype) in shapes.items()}


def _array(
    kind: str, shape: tuple[int, ...], dtype: np.dtype[Any], scale: float, rng: np.random.Generator
) -> np.ndarray:
    noise = rng.standard_normal(shape)
    spike = 0.01 * noise
    spike.reshape(-1)[rng.integers(spike.size)] = 100
    arrays = {
        "noise": noise,
        "negative": -np.abs(noise) - 1,
        "positive": np.abs(noise) + 1,
        "large": noise * (10 if dtype == np.float16 else 1e4),
        "spike": spike,
    }
    return (arrays[kind] * scale).astype(dtype)
