"""Preprocessing inside the graph: equal to what is done outside, by the proof and by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

import cnnc
from cnnc.verify.inputs import Inputs, cases_for
from cnnc_runtime import PRESETS, Preprocessing, load, read_items, run_items
from cnnc_runtime.errors import InvalidInputError, UsageError, VerificationError
from tests.nets import Residual, TwoInputs

IMAGENET = dataclasses.replace(PRESETS["imagenet"], resize=(12, 10), crop=None)


class Stem(nn.Module):
    """One convolution, padded or not, and a mean over H and W."""

    def __init__(self, padding: int = 0, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(channels, 8, 3, padding=padding), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_preprocessing_goes_into_an_onnx_file_too(tmp_path: Path) -> None:
    cnnc.compile(Stem(1), torch.zeros(1, 3, 12, 10), output=tmp_path / "plain.onnx", device="cpu", target="portable")
    compiled = cnnc.compile(
        str(tmp_path / "plain.onnx"), preprocessing=IMAGENET, embed_preprocessing=True, device="cpu"
    )
    assert compiled.report.certificate is not None
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3), np.uint8)
    with compiled.engine("cpu") as engine, load(tmp_path / "plain.onnx", device="cpu") as plain:
        want = plain.run(IMAGENET.normalized(pixels))
        np.testing.assert_allclose(engine.run(pixels), want, atol=1e-5 * np.abs(want).max())


def test_the_axes_of_the_image_are_found_behind_its_arithmetic(tmp_path: Path) -> None:
    """Receptive fields are those of the network on its own, though height and width are axes 1 and 2 of the input."""
    fields = []
    for name, preprocessing in (("plain", None), ("embedded", dataclasses.replace(IMAGENET, color="bgr"))):
        path = tmp_path / f"{name}.onnx"
        options = {} if preprocessing is None else {"preprocessing": preprocessing, "embed_preprocessing": True}
        cnnc.compile(Stem(1), torch.zeros(1, 3, 12, 10), output=path, device="cpu", **options)
        layers = {layer.op: layer.receptive_field for layer in cnnc.analyze(path).layers}
        fields.append((layers["Conv"], layers["Gemm"]))
    (plain, plain_head), (embedded, embedded_head) = fields
    assert plain is not None and plain_head is not None
    assert (plain.size, plain_head.size) == ((3, 3), (12, 10))
    assert embedded == plain
    assert embedded_head == plain_head


@pytest.mark.parametrize(
    ("padding", "preprocessing"),
    [
        (1, dataclasses.replace(IMAGENET, color="bgr", scale=1.0, mean=(100.0, 110.0, 120.0), std=(1.0,))),
        (0, Preprocessing((12, 10), scale=0.017, color="gray")),
    ],
)
def test_inside_equals_outside_on_images(tmp_path: Path, padding: int, preprocessing: Preprocessing) -> None:
    """The artifact, on files of several sizes as `cnnc run` reads them, against PyTorch on what is done outside."""
    files, prepared = [], []
    for index, size in enumerate(((31, 17), (10, 12), (9, 40))):
        pixels = np.random.default_rng(index).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(files[-1])
        prepared.append(preprocessing(Image.open(files[-1])))
    net, path = Stem(padding, preprocessing.channels).eval(), tmp_path / "net.onnx"
    with torch.no_grad():
        expected = net(torch.from_numpy(np.stack(prepared))).numpy()
    example = torch.zeros(2, preprocessing.channels, 12, 10)
    cnnc.compile(net, example, path, preprocessing=preprocessing, embed_preprocessing=True, device="cpu")
    with load(path, device="cpu") as engine:
        assert engine.metadata is not None and engine.metadata.preprocessing is not None
        assert engine.metadata.preprocessing.embedded
        items = read_items(files, engine.inputs, engine.metadata.preprocessing)
        got = np.stack([one.outputs[engine.outputs[0].name] for one in run_items(engine, items)])
        (spec,) = engine.inputs
        assert (spec.name, spec.dtype, spec.shape) == ("x", np.uint8, ("batch", 12, 10, preprocessing.channels))
        with pytest.raises(InvalidInputError, match="expects uint8"):
            engine.run(np.zeros((1, 12, 10, preprocessing.channels), np.float32))
    if not padding:  # else an addition stays before the Conv, whose padding is of zeros
        assert operators(path)[:3] == ["Cast", "Transpose", "Conv"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * scale)
    assert np.abs(expected - expected[0]).max() > 1e-3 * scale  # the images do differ


def test_without_rewrites_the_graph_does_the_steps_of_outside_bit_for_bit(tmp_path: Path) -> None:
    class Through(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 1.5

    prepare = dataclasses.replace(IMAGENET, color="bgr")
    path = tmp_path / "net.onnx"
    cnnc.compile(Through(), torch.zeros(2, 3, 12, 10), path, preprocessing=prepare, embed_preprocessing=True, only=())
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
    with load(path, device="cpu", optimization="off") as engine:
        (got,) = engine.run({"x": images}).values()
    np.testing.assert_array_equal(got, prepare.normalized(images) * np.float32(1.5))


def test_half_precision_and_open_sizes(tmp_path: Path) -> None:
    dynamic = {"x": {0: "batch", 2: "h", 3: "w"}}
    path = tmp_path / "net.onnx"
    unit = Preprocessing(mean=(0.5,))
    compiled = cnnc.compile(
        Residual().half(), torch.zeros(2, 3, 16, 20).half(), path, dynamic=dynamic, preprocessing=unit,
        embed_preprocessing=True,
    )  # fmt: skip
    assert compiled.report.certificate is not None
    assert "h of 17 instead of 16" in compiled.report.certificate.cases
    with load(path, device="cpu") as engine:
        assert engine.inputs[0].shape == ("batch", "h", "w", 3)
        (y,) = engine.run({"x": np.zeros((1, 24, 9, 3), np.uint8)}).values()
        assert y.dtype == np.float16 and y.shape == (1, 5)


def test_a_wrong_constant_in_the_graph_does_not_pass_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle's preprocessing is the runtime's own code, not the graph's: a mean that is off by 1/255 shows."""
    from cnnc import embed

    right = embed._arithmetic
    monkeypatch.setattr(
        embed,
        "_arithmetic",
        lambda prepare: [(op, role, v + (op == "Sub") / 255) for op, role, v in right(prepare)],
    )
    with pytest.raises(VerificationError, match="differs from its source already"):
        cnnc.compile(Stem(), torch.zeros(2, 3, 12, 10), preprocessing=IMAGENET, embed_preprocessing=True, only=())


def test_the_artifact_verifies_alone_and_against_its_source(tmp_path: Path) -> None:
    (tmp_path / "stem.py").write_text(
        "from torch import nn\n\n\ndef net():\n    import torch\n\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())\n",
        encoding="utf-8",
    )
    source, path = f"{tmp_path / 'stem.py'}:net", tmp_path / "net.onnx"
    cnnc.compile(
        source, output=path, input_shapes=["1,3,40,48"], preprocessing=Preprocessing(), embed_preprocessing=True
    )
    alone = cnnc.verify_artifact(path, device="cpu")
    against = cnnc.verify_artifact(path, source, device="cpu")
    assert alone.inputs_hash == against.inputs_hash
    assert "its preprocessing before it" in against.oracle and 0 < against.error < 1e-5


@pytest.mark.parametrize(
    ("net", "example", "options", "message"),
    [
        (Stem(), torch.zeros(2, 3, 12, 10), {}, "no preprocessing to embed"),
        (Stem(), torch.zeros(2, 3, 9, 9), {"preprocessing": IMAGENET}, "images become 12x10, the input is 9x9"),
        (
            Stem(),
            torch.zeros(2, 3, 12, 10),
            {"preprocessing": IMAGENET, "input_range": (0.0, 1.0)},
            "leave --input-range out",
        ),
        (
            TwoInputs(),
            (torch.zeros(2, 1, 12, 10), torch.zeros(2, dtype=torch.int64)),
            {"preprocessing": IMAGENET},
            "this one has 2",
        ),
    ],
)
def test_what_cannot_be_embedded_is_said(net, example, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        cnnc.compile(net, example, embed_preprocessing=True, **options)


def test_images_of_a_proof_cover_the_bytes_and_keep_what_their_labels_say() -> None:
    inputs = Inputs({"x": np.zeros((2, 8, 9, 3), np.uint8)}, {"x": {0: "n"}}, frozenset({"n"}), images=frozenset({"x"}))
    noise, mixed, one = (case.feed["x"] for case in cases_for(inputs, 0))
    assert noise.dtype == np.uint8 and (noise.min(), noise.max()) == (0, 255)
    assert len(mixed) == 6 and len(one) == 1 and len(np.unique(mixed.reshape(6, -1), axis=0)) == 6
    assert mixed[1].max() <= 64 and mixed[2].min() >= 192 and set(np.unique(mixed[4])) <= {0, 128, 255}
