"""gpu="measured": the choice in an engine, and how it is kept, on a played GPU."""

import json
import logging
import os

import numpy as np
import pytest

from cnnc_runtime import GpuOptions, errors, load
from cnnc_runtime.errors import DeviceError, InvalidInputError, UsageError
from cnnc_runtime.gpu import choice as gpu_choice
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import open_session
from tests.runtime.gpu_player import CUDA
from tests.runtime.models import channel_means, relu


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gpu"


def start(model: bytes | None = None, **options) -> GpuOptions:
    """The options that `load` ends with."""
    with load(model or channel_means(), gpu="measured", **{"device": "cuda", **options}) as engine:
        x = np.ones((1, 3, 8, 8), np.float32)
        np.testing.assert_allclose(engine.run(x), np.ones((1, 3)))
        assert engine.device == "cuda:0"
        return engine.gpu


def test_an_engine_is_opened_with_what_was_chosen_and_the_choice_kept(played, folder, caplog):
    played.latency = {"heuristic": 50}
    heuristic = GpuOptions(convolution_search="heuristic")
    with caplog.at_level(logging.INFO, logger="cnnc"):
        assert start(name="net") == heuristic
    assert [record.message for record in caplog.records] == [
        "net: gpu='measured' takes heuristic: 50000.000 ms a run, 100000.000 ms by default"
    ]
    assert len(played.opened) == 7 and played.opened[-1] == "heuristic"
    (entry,) = folder.iterdir()
    kept = json.loads(entry.read_text())
    assert (kept["convolution_search"], kept["nhwc"]) == ("heuristic", False)
    assert kept["seconds"]["heuristic"] == 50 and len(kept["seconds"]) == 6
    assert entry.stat().st_mode & 0o077 == 0 or os.name == "nt"
    played.opened.clear()
    assert start() == start(device="auto") == heuristic
    assert played.opened == ["heuristic"] * 2


def test_the_default_is_kept_as_well(played, folder):
    assert start() == start() == GpuOptions()
    assert len(played.opened) == 6 + 1 + 1


def test_a_memory_limit_holds_for_the_candidates_and_stays(played, folder):
    played.latency = {"heuristic": 50}
    chosen = GpuOptions(convolution_search="heuristic", memory_limit=2**30)
    assert start(memory_limit=2**30) == start(memory_limit=2**30) == chosen
    assert len(played.opened) == 8


def test_a_key_for_everything_that_matters(played, folder, monkeypatch):
    def measured_again(**options) -> bool:
        played.opened.clear()
        start(**options)
        return len(played.opened) == 7

    assert measured_again() and not measured_again()
    assert measured_again(shapes=(2, 3, 8, 8)) and not measured_again(shapes=(2, 3, 8, 8))
    assert measured_again(shapes=[(2, 3, 8, 8), (4, 3, 8, 8)])
    assert measured_again(model=channel_means(batch="b")) and not measured_again(model=channel_means(batch="b"))
    assert measured_again(memory_limit=2**30)
    assert measured_again(optimization="basic")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert measured_again() and not measured_again()
    monkeypatch.setattr(gpu_choice, "driver_and_gpus", lambda: "driver 2, GPU A")
    assert measured_again()
    monkeypatch.setattr(gpu_choice.load_onnxruntime(), "__version__", "99")
    assert measured_again() and not measured_again()


def rename_to_its_content(entry, content: bytes) -> None:
    entry.unlink()
    key = entry.name.partition("-")[0]
    (entry.parent / gpu_choice._entry_name(key, content)).write_bytes(content)


def damage(entry, how: str) -> None:
    content = entry.read_bytes()
    if how == "truncated":
        entry.write_bytes(content[:20])
    elif how == "edited":
        entry.write_bytes(content.replace(b'"heuristic"', b'"default"'))
    elif how == "linked":
        entry.rename(entry.with_suffix(".real"))
        entry.symlink_to(entry.with_suffix(".real"))
    elif how == "writable by others":
        entry.chmod(0o666)
    else:
        rename_to_its_content(entry, how.encode())


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "edited",
        pytest.param("linked", marks=pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")),
        pytest.param("writable by others", marks=pytest.mark.skipif(os.name == "nt", reason="other permissions")),
        "{}",
        "[1]",
        "no JSON",
        '{"convolution_search": "fast", "nhwc": false}',
        '{"convolution_search": "heuristic", "nhwc": "no"}',
    ],
)
def test_an_entry_that_is_damaged_or_not_ours_is_dropped_and_measured_again(played, folder, caplog, how):
    played.latency = {"heuristic": 50}
    start()
    (entry,) = folder.iterdir()
    damage(entry, how)
    played.opened.clear()
    assert start() == GpuOptions(convolution_search="heuristic")
    assert len(played.opened) == 7
    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert record.levelname == "WARNING" and "damaged or not ours: dropped, and measured again" in record.message
    caplog.clear()
    start()
    assert not caplog.records and len(list(folder.glob("*.json"))) == 1


def test_a_choice_that_cannot_be_kept_is_used_and_that_is_said(played, folder, caplog, monkeypatch):
    played.latency = {"heuristic": 50}
    monkeypatch.setattr(gpu_choice, "_entry_name", lambda key, content: "no/such/folder.json")
    assert start().convolution_search == "heuristic"
    assert "the measured choice is not kept" in caplog.text and list(folder.iterdir()) == []


def test_old_entries_go_when_the_folder_is_full(played, folder, monkeypatch):
    monkeypatch.setattr(gpu_choice, "LIMIT", 700)
    for batch in range(1, 6):
        start(shapes=(batch, 3, 8, 8))
    assert 1 <= len(list(folder.iterdir())) <= 3
    played.opened.clear()
    start(shapes=(5, 3, 8, 8))
    assert len(played.opened) == 1


def test_without_a_cache_it_is_measured_each_time_and_the_log_says_how_to_keep_it(played, caplog, tmp_path):
    with caplog.at_level(logging.INFO, logger="cnnc"):
        start()
        start(cache=False)
    assert len(played.opened) == 14
    assert sum("cache=True, or CNNC_CACHE=DIR, keeps the choice" in line for line in caplog.messages) == 2


def test_without_a_measurement_nothing_is_kept(played, folder):
    played.faults = {"exhaustive": "late"}
    assert (
        gpu_choice.measured_options(
            channel_means(),
            "net",
            CUDA,
            GpuOptions(),
            None,
            "all",
            folder,
            lambda _, gpu: played.open(channel_means(), gpu),
        )
        == GpuOptions()
    )
    assert not list(folder.rglob("*.json"))


@pytest.mark.parametrize(("device", "why"), [("cpu", "the CPU has no such choice"), ("tensorrt:1", "TensorRT times")])
def test_it_is_for_cuda(device, why):
    with pytest.raises(UsageError, match=f"is for device='cuda', not '{device}': {why}"):
        load(relu(), device=device, gpu="measured")


@pytest.mark.parametrize("gpu", ["fast", "", 1, {"nhwc": True}, np.ones(2)])
def test_gpu_is_options_or_that_word(gpu):
    with pytest.raises(UsageError, match=r"`gpu` is .*: pass GpuOptions"):
        load(relu(), gpu=gpu)


@pytest.mark.parametrize("driver", [False, True])
def test_auto_without_a_gpu_runs_on_the_cpu_and_says_that_it_has_no_effect(monkeypatch, caplog, driver):
    """With a driver and no usable CUDA, it takes an attempt to find out."""
    monkeypatch.setattr("cnnc_runtime.session._say_once", lambda missing: None)
    monkeypatch.setattr("cnnc_runtime.session.has_nvidia_driver", lambda: False)
    monkeypatch.setattr(gpu_choice, "_may_work", lambda device: driver)
    if driver:
        monkeypatch.setattr("cnnc_runtime.opening.open_session", without_cuda)
    with caplog.at_level(logging.INFO, logger="cnnc"), load(relu(), gpu="measured", name="net", cache=False) as engine:
        assert engine.device == "cpu" and engine.gpu == GpuOptions()
    said = [message for message in caplog.messages if "no effect" in message]
    assert said == ["net: gpu='measured' has no effect: there is no GPU that can be used"]


def without_cuda(model, name, on, **options):
    if on is not None and on.kind == "cuda":
        raise errors.DeviceError("cuda:0 cannot be used: libcudnn.so.9 is missing")
    return open_session(model, name, CPU, options["threads"], options["optimization"])


def test_a_gpu_asked_for_that_cannot_be_used_stays_an_error(monkeypatch):
    monkeypatch.setattr("cnnc_runtime.opening.open_session", without_cuda)
    with pytest.raises(DeviceError, match=r"libcudnn\.so\.9"):
        load(relu(), device="cuda", gpu="measured")


def test_a_damaged_model_is_the_same_error_as_ever(played, folder):
    with pytest.raises(InvalidInputError, match="damaged"):
        load(b"\x08\x08" + b"\xff" * 80, device="cuda", gpu="measured")
