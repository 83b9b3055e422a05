"""Transfer learning on zoo nets: which layer is the head, what is loaded, what is new, what is frozen."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import cnnc
from cnnc.cli.compile import command
from cnnc.zoo import ZOO, build, freeze, load, on_meta, parts
from cnnc_runtime.errors import InvalidInputError, UnsafeInputError, UsageError

HEADS = {
    "alexnet": ("classifier.6",),
    "densenet121": ("classifier",),
    "googlenet": ("fc",),
    "mobilenet_v3_large": ("classifier.3",),
    "repvit_m0_9": ("head.head.l", "head.head_dist.l"),
    "resnet18": ("fc",),
    "squeezenet1_1": ("classifier.1",),
    "unet": ("outc.conv",),
}
STAGES = {  # of published size: VGG's five, ResNet's stem and four
    "vgg16": [(224, 224), (112, 112), (56, 56), (28, 28), (14, 14), ()],
    "resnet50": [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)],
    "resnet20": [(32, 32), (16, 16), (8, 8)],
    "unet": [(256, 256), (128, 128), (64, 64), (32, 32), (16, 16), (32, 32), (64, 64), (128, 128), (256, 256)],
    "fcn_resnet50": [(112, 112), (56, 56), (28, 28)],
    "c3d": [(16, 112, 112), (16, 56, 56), (8, 28, 28), (4, 14, 14), (2, 7, 7), ()],
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """ResNet-20 for ten classes, drawn from seed 5."""
    path = tmp_path / "ten.pt"
    torch.save(build("resnet20", seed=5).state_dict(), path)
    return path


def frozen(net: nn.Module) -> list[str]:
    return [name for name, parameter in net.named_parameters() if not parameter.requires_grad]


def same(a: nn.Module, b: nn.Module) -> list[str]:
    """Keys of equal tensors."""
    other = b.state_dict()
    return [k for k, v in a.state_dict().items() if v.shape == other[k].shape and torch.equal(v, other[k])]


@pytest.mark.parametrize("name", HEADS)
def test_head_is_the_layer_that_counts_classes(name: str) -> None:
    assert parts(name).head == HEADS[name]


@pytest.mark.parametrize("name", ZOO)
def test_every_net_has_a_head_and_stages_that_cover_the_rest(name: str) -> None:
    net, found = on_meta(name), parts(name)
    for key, axis in found.head_axes.items():
        assert found.is_head(key)
        assert net.get_parameter(key).shape[axis] == ZOO[name].num_classes
    units = [unit for stage in found.stages for unit in stage.modules]
    owners = [[u for u in (*units, *found.head) if key.startswith(f"{u}.")] for key, _ in net.named_parameters()]
    assert all(len(owner) == 1 for owner in owners)  # each parameter in one unit, and in no other
    freeze(net, name, "body")
    assert all(p.requires_grad == found.is_head(key) for key, p in net.named_parameters())
    freeze(net, name, len(found.stages))
    assert all(p.requires_grad == found.is_head(key) for key, p in net.named_parameters())


@pytest.mark.parametrize("name", STAGES)
def test_stages_have_one_resolution_each(name: str) -> None:
    assert [stage.size for stage in parts(name).stages] == STAGES[name]


def test_checkpoint_with_as_many_classes_is_loaded_whole(checkpoint: Path) -> None:
    want = build("resnet20", seed=5)
    for net in (load("resnet20", checkpoint), load("resnet20", str(checkpoint), num_classes=10, seed=1)):
        assert same(net, want) == list(want.state_dict())
        assert not net.training and not frozen(net)


def test_another_number_of_classes_gives_a_new_seeded_head(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cnnc"):
        net = load("resnet20", checkpoint, num_classes=7, seed=3)
    assert net.fc.weight.shape == (7, 64)
    assert set(net.state_dict()) - set(same(net, build("resnet20", seed=5))) == {"fc.weight", "fc.bias"}
    assert {"fc.weight", "fc.bias"} <= set(same(net, load("resnet20", checkpoint, num_classes=7, seed=3)))
    assert not {"fc.weight", "fc.bias"} & set(same(net, load("resnet20", checkpoint, num_classes=7, seed=4)))
    [record] = caplog.records[:1]
    assert record.levelno == logging.INFO
    assert "fc.weight 7x64 (the checkpoint's is 10x64), fc.bias 7 (the checkpoint's is 10)" in record.getMessage()


def test_number_of_classes_is_the_checkpoints_where_none_is_given(tmp_path: Path) -> None:
    torch.save(build("resnet20", num_classes=4).state_dict(), tmp_path / "four.pt")
    assert load("resnet20", tmp_path / "four.pt").fc.out_features == 4


def test_new_head_though_the_numbers_agree(checkpoint: Path) -> None:
    net, want = load("resnet20", checkpoint, new_head=True), build("resnet20", seed=5)
    assert set(want.state_dict()) - set(same(net, want)) == {"fc.weight", "fc.bias"}


def test_missing_head_is_drawn_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in checkpoints of a backbone alone; here of a DataParallel one."""
    state = build("resnet20", seed=5).state_dict()
    torch.save({f"module.{k}": v for k, v in state.items() if not k.startswith("fc.")}, tmp_path / "body.pt")
    net = load("resnet20", tmp_path / "body.pt")
    assert net.fc.out_features == 10
    assert set(state) - set(same(net, build("resnet20", seed=5))) == {"fc.weight", "fc.bias"}
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "fc.weight 10x64 (the checkpoint has none)" in caplog.text


def test_head_of_two_layers_elsewhere_is_left_out(tmp_path: Path) -> None:
    """A checkpoint whose head was replaced by Dropout and Linear: `fc.1.weight`."""
    state = build("resnet20", seed=5).state_dict()
    state = {k.replace("fc.", "fc.1."): v for k, v in state.items()}
    torch.save(state, tmp_path / "net.pt")
    assert load("resnet20", tmp_path / "net.pt", num_classes=3).fc.out_features == 3
    with pytest.raises(InvalidInputError, match=r"2 missing: fc.weight, fc.bias; 2 unexpected: fc\.1\.weight"):
        load("resnet20", tmp_path / "net.pt")


def test_faults_outside_the_head_are_errors_that_name_them(checkpoint: Path, tmp_path: Path) -> None:
    state = dict(torch.load(checkpoint, weights_only=True))
    state["extra"] = state.pop("bn1.bias")
    state["conv1.weight"] = torch.zeros(16, 1, 3, 3)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InvalidInputError) as caught:
        load("resnet20", tmp_path / "net.pt", num_classes=7)
    message = str(caught.value)
    assert "1 missing: bn1.bias" in message and "1 unexpected: extra" in message
    assert "conv1.weight is 16x1x3x3, the network has 16x3x3x3" in message
    assert "fc" not in message


def test_head_of_another_width_is_an_error_unless_it_is_new(checkpoint: Path, tmp_path: Path) -> None:
    state = dict(torch.load(checkpoint, weights_only=True))
    state["fc.weight"] = torch.zeros(10, 32)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InvalidInputError, match=r"fc\.weight is 10x32, the network has 10x64"):
        load("resnet20", tmp_path / "net.pt")
    assert load("resnet20", tmp_path / "net.pt", new_head=True).fc.weight.shape == (10, 64)


def test_code_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(build("resnet20"), tmp_path / "whole.pt")
    with pytest.raises(UnsafeInputError, match="save the weights alone"):
        load("resnet20", tmp_path / "whole.pt", num_classes=2)
    with pytest.raises(InvalidInputError, match="no such checkpoint"):
        load("resnet20", tmp_path / "none.pt")


DEPTHS = {0: 0, 1: 21, 2: 39, 3: 57, "conv1": 1, "layer1.1.conv2": 13, "layer2": 39, "body": 57}


@pytest.mark.parametrize("depth", DEPTHS)
def test_freezing_up_to_a_depth(depth: int | str) -> None:
    """ResNet-20 has 57 tensors before its head, in the order in which they run."""
    net = load("resnet20", freeze=depth)
    assert frozen(net) == [name for name, _ in net.named_parameters()][: DEPTHS[depth]]


def test_frozen_part_stays_as_it_is_in_training_and_the_rest_learns() -> None:
    net = load("resnet20", num_classes=3, freeze=2)
    before = copy.deepcopy(net.state_dict())
    net.train()
    assert not net.layer2[0].bn1.training and net.layer3[0].bn1.training
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimizer.step()
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert {"layer3.0.bn1.running_mean", "layer3.0.conv1.weight", "fc.weight"} <= changed
    assert not any(key.startswith(("conv1", "bn1", "layer1", "layer2")) for key in changed)


def test_thawing_in_steps_keeps_the_mode() -> None:
    net = load("resnet20", freeze="body").train()
    freeze(net, "resnet20", 1)
    assert net.training and net.layer2[0].bn1.training and not net.layer1[0].bn1.training
    assert len(frozen(net)) == 21
    freeze(net, "resnet20", None)
    assert not frozen(net) and net.bn1.training


def test_frozen_net_is_copied_pickled_and_compiled(tmp_path: Path) -> None:
    net = load("resnet20", num_classes=3, freeze=2)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        copied.train()
        assert not copied.bn1.training and copied.layer3[0].bn1.training and not net.training
    compiled = cnnc.compile(net.train(), torch.zeros(1, 3, 32, 32), output=tmp_path / "net.onnx")
    assert compiled.report.certificate.error < 1e-5
    assert net.layer3[0].bn1.training


MISTAKES = {
    4: "resnet20 has 3 stages before its head: cannot freeze 4",
    -1: "cannot freeze -1",
    True: "cannot freeze True",
    "layer9": "resnet20 has no module 'layer9' to freeze up to; did you mean 'layer",
    "classifier": "'body', or a number of its 3 stages",
    "fc": "up to 'fc' would freeze its head, fc",
}


@pytest.mark.parametrize("depth", MISTAKES)
def test_impossible_depths(depth: int | str) -> None:
    with pytest.raises(UsageError, match=MISTAKES[depth]):
        load("resnet20", freeze=depth)


def test_wrong_names_and_numbers() -> None:
    with pytest.raises(UsageError, match="did you mean resnet50"):
        load("resnet-50")
    with pytest.raises(UsageError, match="num_classes"):
        load("resnet20", num_classes=0)


def test_reached_from_the_package() -> None:
    assert cnnc.zoo.load is load


def test_compile_with_weights_and_another_number_of_classes(tmp_path: Path) -> None:
    checkpoint, artifact = tmp_path / "four.pt", tmp_path / "net.onnx"
    torch.save(build("lenet5", num_classes=4).state_dict(), checkpoint)
    arguments = ["lenet5", "--weights", str(checkpoint), "--arg", "num_classes=4", "-o", str(artifact)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert cnnc.load(artifact).run(torch.zeros(1, 1, 32, 32).numpy()).shape == (1, 4)
