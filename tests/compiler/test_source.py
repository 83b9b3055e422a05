"""What the user names is found and built; user code can neither end the process nor move it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from cnnc.source import resolve
from cnnc_runtime.errors import InvalidInputError, UsageError

CODE = """
import os, sys
import helper
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, bias=True, name="x"):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, bias=bias)
        self.name = name
    def forward(self, x):
        return self.conv(x)

def build(width=2):
    print("building")
    return Net(width)

ready = Net(5)
number = 3

def wrong(): return 3
def fails(): raise ValueError("no such thing")
def leaves(): sys.exit(0)
def moves():
    os.chdir("/")
    return Net()
"""


@pytest.fixture
def net_py(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("x = 1\n")
    path = tmp_path / "some net.py"
    path.write_text(CODE)
    return path


def test_class_function_and_instance(net_py: Path) -> None:
    assert resolve(f"{net_py}:Net").module.conv.out_channels == 4
    assert resolve(f"{net_py}:build").module.conv.out_channels == 2
    assert resolve(f"{net_py}:ready").module.conv.out_channels == 5


def test_arguments_are_converted(net_py: Path) -> None:
    module = resolve(f"{net_py}:Net", arguments={"width": "7", "bias": "false", "name": "y"}).module
    assert module.conv.out_channels == 7 and module.conv.bias is None and module.name == "y"


def test_module_path() -> None:
    assert type(resolve("tests.nets:Residual").module).__name__ == "Residual"


def test_module_path_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    package = tmp_path / "local_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text("from torch import nn\nclass Base(nn.Identity): pass\n")
    (package / "net.py").write_text("from .parts import Base\nclass Net(Base): pass\n")
    assert type(resolve("local_package.net:Net").module).__name__ == "Net"
    with pytest.raises(InvalidInputError, match=rf"name it local_package.net:Net, from the folder {tmp_path}"):
        resolve("local_package/net.py:Net")


def test_a_factory_may_import_its_neighbours_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "late_neighbour.py").write_text("from torch import nn\nNet = nn.Identity\n")
    (tmp_path / "net.py").write_text("def build():\n    from late_neighbour import Net\n    return Net()\n")
    assert type(resolve(f"{tmp_path}/net.py:build").module).__name__ == "Identity"
    assert sys.path[-1] == str(tmp_path)  # last: it hides no library


def test_arguments_of_a_zoo_net_are_named() -> None:
    assert resolve("lenet5", arguments={"num_classes": "3"}).module is not None
    for key, value in (("nope", "7"), ("num_classes", "many")):
        with pytest.raises(UsageError, match=f"lenet5 takes seed and num_classes.*--arg {key}={value}"):
            resolve("lenet5", arguments={key: value})


def test_users_prints_do_not_reach_stdout(net_py: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resolve(f"{net_py}:build")
    captured = capsys.readouterr()
    assert captured.out == "" and "building" in captured.err


def test_working_folder_is_restored(net_py: Path) -> None:
    before = Path.cwd()
    resolve(f"{net_py}:moves")
    assert Path.cwd() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nett", "did you mean 'Net'"),
        ("wrong", "returned a int, not a torch.nn.Module"),
        ("number", "is a int, not a Module class"),
        ("fails", r"some net.py:\d+: ValueError: no such thing"),
        ("leaves", r"called sys.exit\(0\)"),
    ],
)
def test_bad_factories_are_named(net_py: Path, name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        resolve(f"{net_py}:{name}")


def test_wrong_argument_is_the_factorys_error(net_py: Path) -> None:
    with pytest.raises(InvalidInputError, match="unexpected keyword argument 'depth'"):
        resolve(f"{net_py}:Net", arguments={"depth": "3"})


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("missing.py:Net", InvalidInputError, "missing.py: no such file"),
        ("no_such_package:Net", InvalidInputError, "No module named 'no_such_package'"),
        ("net.py", UsageError, "say which one, net.py:NAME"),
        ("resnet81", UsageError, "did you mean 'resnet18'"),
    ],
)
def test_what_cannot_be_found_is_named(source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve(source)


def test_onnx_files_take_no_weights() -> None:
    with pytest.raises(UsageError, match="has its weights inside"):
        resolve("net.onnx", weights="net.pt")


def test_an_untrained_network_has_the_same_weights_when_it_is_opened_again(tmp_path: Path) -> None:
    """Else a search for where the export departs would compare two networks; the caller's random state stays."""
    (tmp_path / "net.py").write_text("from torch import nn\n\n\ndef net():\n    return nn.Linear(3, 2)\n")
    state = torch.random.get_rng_state()
    first, second = (resolve(f"{tmp_path / 'net.py'}:net").module for _ in range(2))
    assert first is not None and second is not None
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.random.get_rng_state(), state)
