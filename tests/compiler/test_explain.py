"""Heat maps of compiled nets against torch.autograd, written here a second time; and what the proof catches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import cnnc
from cnnc import explain as explained
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc.zoo.convnext import Block, LayerNorm2d
from cnnc_passes.gradient.rules import RULES
from cnnc_runtime import Preprocessing, load
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, UsageError, VerificationError
from cnnc_runtime.maps.explanation import Explanation
from tests.nets import randomize_statistics

LIMIT = 1e-4
SLOW = (
    *("alexnet", "resnet18", "resnet20", "resnet50", "seresnet50", "preactresnet18", "resnet56", "densenet121"),
    *("googlenet", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2_x1_0"),
    *("repvgg_a0", "regnet_y_400mf", "ghostnet_100", "r3d_18"),
)
# Smaller than the papers', where the head takes it: what is to be shown does not hang on the size
SHAPES = {
    **dict.fromkeys(("resnet18", "resnet50", "seresnet50", "preactresnet18", "densenet121", "googlenet"), (3, 96, 96)),
    **dict.fromkeys(("squeezenet1_1", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0"), (3, 96, 96)),
    **dict.fromkeys(
        ("repvgg_a0", "shufflenet_v2_x1_0", "regnet_y_400mf", "ghostnet_100", "convnext_tiny"), (3, 96, 96)
    ),
    "r3d_18": (3, 8, 32, 32),
}


class Small(nn.Module):
    """Two convolutions, global average pooling, one linear layer; optionally probabilities."""

    def __init__(self, classes: int = 5, probabilities: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2)
        self.relu, self.fc, self.probabilities = nn.ReLU(inplace=True), nn.Linear(8, classes), probabilities

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.b(self.relu(self.a(x))))
        x = self.fc(x.mean((2, 3)))
        return x.softmax(1) if self.probabilities else x


def by_autograd(net: nn.Module, layer: str, x: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """Selvaraju et al. (2017), equations 1 and 2, with a forward hook, in float64."""
    kept: list[torch.Tensor] = []
    net = net.double().eval()

    def keep(_: nn.Module, __: object, out: torch.Tensor) -> torch.Tensor:
        kept.append(out)
        return out.clone()  # a ReLU that follows may work in place

    handle = net.get_submodule(layer).register_forward_hook(keep)
    scores = net(x.double())
    handle.remove()
    (gradient,) = torch.autograd.grad(scores.gather(1, classes[:, None]).sum(), kept[-1])
    alpha = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
    return torch.relu((alpha * kept[-1]).sum(1)).detach().numpy()


def close(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Per image, whether the map is right to 1e-4 of its largest value."""
    scale = np.abs(expected).reshape(len(expected), -1).max(axis=1)
    off = np.abs(got - expected).reshape(len(expected), -1).max(axis=1)
    return np.asarray(off <= LIMIT * scale)


def is_close(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool(close(got, expected).all() and np.abs(expected).max() > 0)


def jumps(net: nn.Module, layer: str, x: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """Per image, whether its map in float64 changes by more than 1e-4 where the image moves by 1e-5.

    Then a ReLU's input is so near zero that the derivative is for float32's rounding to decide.
    """
    there, noise = by_autograd(net, layer, x, classes), torch.Generator().manual_seed(0)
    moved = [x + 1e-5 * torch.randn(x.shape, generator=noise) for _ in range(8)]
    return np.any([~close(by_autograd(net, layer, one, classes), there) for one in moved], axis=0)


def random_layers(net: nn.Module, x: torch.Tensor, rng: np.random.Generator, count: int) -> list[str]:
    """Convolutions, normalizations and blocks that are called once and return one map of more than one place."""
    calls: dict[str, list[torch.Tensor]] = {}
    names = {
        name: module
        for name, module in net.named_modules()
        if name and (isinstance(module, (nn.Conv2d, nn.Conv3d, nn.BatchNorm2d)) or any(True for _ in module.children()))
    }
    for name, module in names.items():
        module.register_forward_hook(lambda _, __, out, name=name: calls.setdefault(name, []).append(out))
    with torch.no_grad():
        net(x)
    fitting = [
        name for name, outs in calls.items() if len(outs) == 1 and outs[0].ndim > 3 and outs[0].shape[2:].numel() > 1
    ]
    return [str(name) for name in rng.choice(fitting, count, replace=False)]


def check_net(name: str, layers: list[str]) -> None:
    rng = np.random.default_rng(len(name))
    shape = SHAPES.get(name, ZOO[name].input_shape)
    for layer in layers:
        sizes = [",".join(map(str, (1, *shape)))]
        compiled = cnnc.compile(
            name, input_shapes=sizes, explain=f"gradcam:{layer}", explain_class="input", device="cpu"
        )
        engine = compiled.engine("cpu")
        assert engine.metadata is not None and engine.metadata.explanation is not None
        x = rng.standard_normal((8, *shape)).astype(np.float32)
        classes = rng.integers(0, engine.metadata.explanation.classes, 8)
        heat = engine.run({"x": x, "explain_class": classes})["heat_map"]
        net, images, asked = build(name), torch.from_numpy(x), torch.from_numpy(classes)
        expected = by_autograd(net, layer, images, asked)
        right = close(heat, expected)
        assert heat.dtype == np.float32 and np.abs(expected).max() > 0
        assert right.sum() >= 3, (name, layer)
        if not right.all():
            assert jumps(net, layer, images[~right], asked[~right]).all(), (name, layer)


def test_equal_to_autograd() -> None:
    check_net("lenet5", ["features.0"])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_equal_to_autograd_on_random_layers(name: str) -> None:
    x = torch.zeros(1, *SHAPES.get(name, ZOO[name].input_shape))
    check_net(name, random_layers(build(name), x, np.random.default_rng(1), 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_default_layer_is_proved(name: str) -> None:
    sizes = [",".join(map(str, (1, *SHAPES.get(name, ZOO[name].input_shape))))]
    certificate = cnnc.compile(name, input_shapes=sizes, explain="gradcam", device="cpu").report.certificate
    assert certificate is not None
    (heat,) = (one for one in certificate.differences if one.output == "heat_map")
    assert heat.error < LIMIT and not heat.constant


class Normalized(nn.Module):
    """Between the layer that is explained and the score: BatchNorms, which are folded into layer and gradient alike."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        blocks: list[nn.Module] = [nn.Conv2d(3, 32, 3)]
        for _ in range(3):
            blocks += [nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        self.features, self.fc = nn.Sequential(*blocks), nn.Linear(32, 5)
        randomize_statistics(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean((2, 3)))


def test_layer_and_gradient_share_their_weights(tmp_path: Path) -> None:
    x = torch.zeros(1, 3, 16, 16)
    cnnc.compile(Normalized(), x, tmp_path / "plain.onnx", device="cpu")
    cnnc.compile(Normalized(), x, tmp_path / "map.onnx", explain="gradcam:features.0", device="cpu")
    weights = 3 * 32 * 32 * 9 * 4  # bytes
    more = (tmp_path / "map.onnx").stat().st_size - (tmp_path / "plain.onnx").stat().st_size
    assert more < weights / 2  # nodes and certificate
    assert cnnc.verify_artifact(tmp_path / "map.onnx", device="cpu").error < LIMIT


def test_the_default_layer_of_a_net_with_channels_last() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), LayerNorm2d(8), Block(8))
    head = nn.Sequential(LayerNorm2d(8), nn.Flatten(1), nn.Linear(8, 5))
    net = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), head).eval()
    certificate = cnnc.compile(net, torch.zeros(1, 3, 32, 32), explain="gradcam", device="cpu").report.certificate
    assert certificate is not None and certificate.error < LIMIT


def test_cam_is_gradcam_times_the_places_where_the_net_ends_in_gap_and_one_linear_layer() -> None:
    x = torch.randn(3, 3, 20, 24)
    cam, gradcam = (cnnc.compile(Small(), x, explain=how, device="cpu").engine("cpu") for how in ("cam", "gradcam"))
    (scores, by_cam), (same, by_gradient) = cam.run(x.numpy()), gradcam.run(x.numpy())
    np.testing.assert_allclose(scores, same, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.maximum(by_cam, 0) / 99, by_gradient, rtol=1e-4, atol=1e-4 * by_gradient.max())
    assert by_cam.min() < 0 < by_gradient.max()


def test_scores_are_differentiated_before_a_closing_softmax() -> None:
    x = torch.randn(2, 3, 20, 24)
    net = Small(probabilities=True)
    heat = cnnc.compile(net, x, explain="gradcam:b", device="cpu").engine("cpu").run(x.numpy())[1]
    classes = net(x).argmax(1)
    assert is_close(heat, by_autograd(Small(), "b", x, classes))


def test_open_sizes_half_precision_and_preprocessing_inside() -> None:
    x = torch.zeros(2, 3, 20, 24)
    axes = {"x": {0: "batch", 2: "h", 3: "w"}}
    compiled = cnnc.compile(Small(), x, explain="gradcam:a", dynamic=axes, device="cpu")
    assert compiled.engine("cpu").run(np.ones((1, 3, 33, 18), np.float32))[1].shape == (1, 33, 18)
    half = cnnc.compile(Small().half(), x.half(), explain="gradcam", device="cpu").engine("cpu")
    assert [spec.dtype.name for spec in half.outputs] == ["float16", "float32"]
    options = {"preprocessing": Preprocessing(mean=(0.5,)), "embed_preprocessing": True}
    inside = cnnc.compile(Small(), x, explain="gradcam:a", explain_class="input", device="cpu", **options)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), dtype=np.uint8)
    heat = inside.engine("cpu").run({"x": pixels, "explain_class": np.array([1, 3])})["heat_map"]
    outside = torch.from_numpy(pixels.transpose(0, 3, 1, 2) / 255 - 0.5)
    assert is_close(heat, by_autograd(Small(), "a", outside, torch.tensor([1, 3])))


def test_an_artifact_explains_and_proves_itself(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    cnnc.compile("lenet5", output=path, explain="gradcam:features.3", explain_class="input", device="cpu")
    with load(path, device="cpu") as engine:
        assert engine.metadata is not None
        said = Explanation("gradcam", "features.3", "heat_map", "linear_1", 10, True, "explain_class")
        assert engine.metadata.explanation == said
        assert engine.metadata.input_ranges == {"explain_class": (-1.0, 9.0)}
        with pytest.raises(InvalidInputError, match=r"holds values from 10 to 10: .* was compiled for -1 to 9$"):
            engine.run({"x": np.zeros((1, 1, 32, 32), np.float32), "explain_class": np.array([10])})
    alone, against = cnnc.verify_artifact(path, device="cpu"), cnnc.verify_artifact(path, "lenet5", device="cpu")
    assert alone.inputs_hash == against.inputs_hash
    assert against.oracle.endswith("its heat map by torch.autograd") and 0 < against.error < 1e-5


def wrong(monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    """A rule that forgets the derivative of `op`."""
    monkeypatch.setitem(RULES, op, lambda step: step.g)


def test_a_wrong_rule_does_not_pass_the_proof_against_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch, "Relu")
    with pytest.raises(VerificationError, match="'heat_map'"):
        cnnc.compile(Small(), torch.zeros(2, 3, 20, 24), explain="gradcam:a", device="cpu")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    ir.save(export(Small().eval(), torch.zeros(2, 3, 20, 24)), path)
    return path


@pytest.mark.parametrize("how", ["cam", "gradcam", "gradcam:a"])
def test_a_graph_without_pytorch_is_proved_by_differences_of_its_scores(graph: Path, how: str) -> None:
    compiled = cnnc.compile(graph, explain=how, explain_class="input", device="cpu")
    certificate = compiled.report.certificate
    assert certificate is not None and certificate.oracle.endswith("its heat map by differences of the score")
    x, classes = torch.randn(3, 3, 20, 24), torch.tensor([4, 0, 2])
    heat = compiled.engine("cpu").run({"x": x.numpy(), "explain_class": classes.numpy()})["heat_map"]
    if how == "gradcam:a":
        assert is_close(heat, by_autograd(Small(), "a", x, classes))


def test_a_wrong_rule_does_not_pass_the_proof_by_differences(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch, "Relu")
    with pytest.raises(VerificationError, match="no derivative of the class score"):
        cnnc.compile(graph, explain="gradcam:a", device="cpu")


def test_a_layer_that_is_another_value_than_its_module_returns_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    add = explained.add_heat_map
    monkeypatch.setattr(explained, "add_heat_map", lambda model, how, _, asked: add(model, how, "conv2d_1", asked))
    with pytest.raises(UnsupportedModelError, match="'conv2d_1' of the exported graph is not what module 'a' returns"):
        cnnc.compile(Small(), torch.zeros(2, 3, 20, 24), explain="gradcam:a", device="cpu")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"explain": "grad"}, UsageError, "give cam, gradcam or gradcam:LAYER"),
        ({"explain": "gradcam:"}, UsageError, "give cam, gradcam or gradcam:LAYER"),
        ({"explain": "cam:b"}, UsageError, "leave it out, or use gradcam:LAYER"),
        ({"explain": "gradcam:c"}, UsageError, "no layer is named 'c'"),
        ({"explain": "gradcam:relu"}, UsageError, "called more than once"),
        ({"explain": "gradcam", "explain_class": "best"}, UsageError, "choose top or input"),
        ({"explain_class": "input"}, UsageError, "add --explain gradcam"),
        ({"explain": "gradcam", "states": ["x"]}, UsageError, "a step function"),
        ({"explain": "gradcam", "fully_convolutional": True}, UsageError, "map of each class already"),
    ],
)
def test_what_cannot_be_explained_is_said(options, error, message) -> None:
    with pytest.raises(error, match=message):
        cnnc.compile(Small(), torch.zeros(2, 3, 20, 24), device="cpu", **options)
