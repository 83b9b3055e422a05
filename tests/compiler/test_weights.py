"""Checkpoints: found inside wrappers, never executed, every mismatch named."""

from __future__ import annotations

import logging
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cnnc.weights import load_weights
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UnsafeInputError
from tests.nets import Residual


def trained() -> Residual:
    torch.manual_seed(1)
    return Residual()


def loads(path: Path, source: Residual) -> bool:
    torch.manual_seed(2)
    target = Residual()
    load_weights(target, path)
    return all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


WRAPPED = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model, with optimizer": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "nested": lambda state: {"model": {"state_dict": state}},
    "DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "torch.compile": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "both": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "without counters": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_state_is_found(tmp_path: Path, wrapper: str) -> None:
    net = trained()
    torch.save(WRAPPED[wrapper](net.state_dict()), tmp_path / "net.pt")
    assert loads(tmp_path / "net.pt", net)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_safetensors_is_known_by_content(tmp_path: Path, name: str) -> None:
    net = trained()
    save_file(net.state_dict(), tmp_path / name)
    assert loads(tmp_path / name, net)


def test_a_pickle_named_safetensors_is_known_by_content(tmp_path: Path) -> None:
    net = trained()
    torch.save(net.state_dict(), tmp_path / "net.safetensors")
    assert loads(tmp_path / "net.safetensors", net)


def test_mismatches_are_named(tmp_path: Path) -> None:
    state = OrderedDict(trained().state_dict())
    state["extra"] = state.pop("stem.weight")
    state["fc.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InvalidInputError) as caught:
        load_weights(Residual(), tmp_path / "net.pt")
    message = str(caught.value)
    assert "1 missing: stem.weight" in message and "1 unexpected: extra" in message
    assert "fc.bias is 7, the network has 5" in message


UNUSABLE = {
    "sparse": (lambda x: x.to_sparse(), "fc.weight is sparse: save it with .to_dense"),
    "quantized": (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "fc.weight is quantized"),
    "without values": (lambda x: x.to("meta"), "fc.weight has no values"),
    "complex": (lambda x: x.to(torch.complex64), "fc.weight is complex"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.filterwarnings("ignore")  # PyTorch's, of making them; loading is silent
def test_tensors_that_are_not_plain_numbers_are_named(tmp_path: Path, kind: str) -> None:
    make, message = UNUSABLE[kind]
    state = trained().state_dict()
    torch.save({**state, "fc.weight": make(state["fc.weight"])}, tmp_path / "net.pt")
    with warnings.catch_warnings(), pytest.raises(InvalidInputError, match=message):
        warnings.simplefilter("error")
        load_weights(Residual(), tmp_path / "net.pt")


def test_odd_values_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = trained().state_dict()
    nan = {key: x * float("nan") if key.startswith("fc") else x for key, x in state.items()}
    whole = {key: x.int() if key.startswith("fc") else x for key, x in state.items()}
    for odd, message in ((nan, "fc.weight holds NaN or infinity"), (whole, "fc.weight is torch.int32")):
        torch.save(odd, tmp_path / "net.pt")
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="cnnc"):
            load_weights(Residual(), tmp_path / "net.pt")
        (record,) = caplog.records
        assert message in record.getMessage()


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch marker",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Bomb()}, "zip.pt")
    Path("plain.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save(trained(), "module.pt")
    for name in ("zip.pt", "plain.pt", "module.pt"):
        with pytest.raises(UnsafeInputError, match="would run code"):
            load_weights(Residual(), Path(name))
    assert not Path("marker").exists()


def test_torchscript_is_refused_as_code(tmp_path: Path) -> None:
    torch.jit.trace(trained().eval(), torch.zeros(1, 3, 8, 8)).save(tmp_path / "net.pt")
    with pytest.raises(UnsafeInputError, match="is code"):
        load_weights(Residual(), tmp_path / "net.pt")


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", b"\0" * 100_000_000)
    with pytest.raises(ResourceLimitError, match="zip bomb"):
        load_weights(Residual(), tmp_path / "net.pt")


def test_unreadable_files(tmp_path: Path) -> None:
    good = tmp_path / "good.pt"
    torch.save(trained().state_dict(), good)
    cases = {
        "missing.pt": None,
        "empty.pt": b"",
        "text.pt": b"hello, world",
        "net.py": b"import torch",
        "cut.pt": good.read_bytes()[:-1000],
        "cut.safetensors": b"\x10\0\0\0\0\0\0\0{",
        "tensor.pt": None,
    }
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInputError, match=name):
            load_weights(Residual(), tmp_path / name)
    with pytest.raises(InvalidInputError, match="is a folder"):
        load_weights(Residual(), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>", "is HTML or XML.*failed download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x1f\x8b\x08\x00", "unpack it first"),
        (b"import torch\n", "no PyTorch checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        load_weights(Residual(), tmp_path / "net.pt")
