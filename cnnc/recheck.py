"""A finished artifact, proved again: is it the file that was proved, and does it still compute the same here?"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnc.embed import open_embedded
from cnnc.explain import Reopen, reopen_explained
from cnnc.fingerprint import hashes
from cnnc.frontend import open_source
from cnnc.fully_convolutional import open_fully_convolutional
from cnnc.memory import release_memory
from cnnc.onnx_file import load_onnx
from cnnc.verify import Certificate, Inputs, OnnxOracle, refer, verify
from cnnc.verify.oracle import graph_in_float64
from cnnc.verify.samples import read_samples
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError, VerificationError

__all__ = ["verify_artifact"]


def verify_artifact(
    path: str | os.PathLike[str],
    reference: str | os.PathLike[str] | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    data: Sequence[str | os.PathLike[str]] = (),
    device: str = "auto",
) -> Certificate:
    """Check an artifact against its certificate, then run its proof again on this machine.

    The hashes show integrity, not authenticity: they find a changed weight, not a forged certificate.

    Args:
        path: the artifact.
        reference: the source it was compiled from, as for `cnnc.compile`: the whole proof is made again. Without
            it the artifact's own graph, in float64, is the truth: that shows the engine and the file to be sound.
        weights, arguments: of the reference.
        data: images, folders, .npy or .npz files to prove it on as well.
        device: where to run it.

    Returns:
        the new certificate.

    Raises:
        VerificationError: it has no certificate, was changed since it was proved, or is not equal.
        CnncError: as `cnnc.compile` and `cnnc.load`.
    """
    engine = Engine(path, device=device)
    stored = engine.metadata.certificate if engine.metadata is not None else None
    if stored is None:
        raise VerificationError(f"{path} carries no certificate: compile it from its source, without --no-verify")
    model = load_onnx(path, allow_training_ops=True)
    for part, value in hashes(model).items():
        if stored.get("hashes", {}).get(part) != value:
            raise VerificationError(f"{path}: its {part} changed since it was proved")
    inputs = _inputs(stored, path)
    explanation = engine.metadata.explanation if engine.metadata is not None else None
    prepare = engine.metadata.preprocessing if engine.metadata is not None else None
    samples = read_samples(data, inputs, prepare)
    if reference is None:
        oracle = OnnxOracle(model)
        oracle.description = "its own graph in float64, by onnx's reference evaluator"
    else:
        example = _example(reference, inputs, explanation.class_input if explanation is not None else None)
        reopen: Reopen = functools.partial(
            open_source, reference, example=example, weights=weights, arguments=arguments
        )
        if (engine.metadata.report or {}).get("fully_convolutional") if engine.metadata is not None else False:
            reopen = functools.partial(open_fully_convolutional, reopen)
        reopen = reopen_explained(explanation, reopen)
        front = open_embedded(reopen, prepare) if prepare is not None and prepare.embedded else reopen()
        oracle = front.oracle()  # type: ignore[assignment]
    truth = refer(oracle, inputs, int(stored["seed"]), samples, explanation)
    del oracle
    release_memory()
    certificate = verify(
        truth,
        lambda feed: engine.run(dict(feed)),
        device=engine.device,
        provider=engine.provider,
        optimization="all",
        graph=graph_in_float64(Path(path)),
    )
    return dataclasses.replace(certificate, local=stored.get("local", {}), hashes=stored["hashes"])


def _example(reference: str | os.PathLike[str], inputs: Inputs, asked: str | None) -> dict[str, Any] | None:
    """For a PyTorch source: the inputs as tensors, without that of a heat map's class; an .onnx file has its own."""
    if Path(reference).suffix == ".onnx":
        return None
    from cnnc.torch_extra import require_torch

    require_torch(f"verifying against {reference}")
    import torch

    arrays = {
        name: np.zeros(x.transpose(0, 3, 1, 2).shape, np.float32) if name in inputs.images else np.array(x)
        for name, x in inputs.examples.items()
        if name != asked
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _inputs(stored: Mapping[str, Any], path: str | os.PathLike[str]) -> Inputs:
    """What the certificate says of the inputs."""
    try:
        specs = stored["inputs"]["inputs"]
        images = frozenset(stored["inputs"].get("images", ()))
        examples = {spec["name"]: _values(spec, is_image=spec["name"] in images) for spec in specs}
        axes = {spec["name"]: {int(axis): symbol for axis, symbol in spec["axes"].items()} for spec in specs}
        ranges = {spec["name"]: (spec["range"][0], spec["range"][1]) for spec in specs if spec["range"]}
        states = dict(stored["inputs"].get("states", {}))
        return Inputs(examples, axes, frozenset(stored["inputs"]["batch"]), ranges, images, states)
    except CnncError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidInputError(f"{path}: its certificate is malformed: {error}") from error


def _values(spec: Mapping[str, Any], *, is_image: bool) -> np.ndarray:
    dtype = np.dtype(spec["dtype"])
    if dtype.kind == "f" or is_image:
        return np.zeros(spec["shape"], dtype)
    if spec["values"] is None:
        raise UnsupportedModelError(
            f"input {spec['name']!r} is {dtype} and too large to be in the certificate: compile again instead"
        )
    return np.array(spec["values"], dtype).reshape(spec["shape"])
