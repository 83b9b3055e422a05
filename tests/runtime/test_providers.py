"""The device asked for is the device used, or the error says why not."""

import logging

import pytest

from cnnc_runtime import load, providers, session
from cnnc_runtime.errors import DeviceError, UsageError
from cnnc_runtime.providers import Device, GpuOptions, parse_device
from tests.runtime.models import relu

without_gpu = pytest.mark.skipif(providers.has_nvidia_driver(), reason="there is an NVIDIA driver")


def test_device_strings():
    assert parse_device("auto") is None
    assert parse_device("cpu") == Device("cpu")
    assert parse_device("cuda") == Device("cuda", 0)
    assert parse_device("tensorrt:3") == Device("tensorrt", 3)
    for text in ("gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "", "CUDA"):
        with pytest.raises(UsageError, match="choose auto, cpu, cuda"):
            parse_device(text)


def test_a_gpu_session_asks_for_its_index_and_ends_on_the_cpu():
    chain = Device("tensorrt", 2).providers
    assert chain == [
        ("TensorrtExecutionProvider", {"device_id": "2"}),
        ("CUDAExecutionProvider", {"device_id": "2", "use_tf32": "0"}),
        "CPUExecutionProvider",
    ]


def test_gpu_options_are_asked_for_only_where_they_differ():
    chosen = GpuOptions(tf32=True, convolution_search="heuristic", nhwc=True, cuda_graphs=True, memory_limit=2**30)
    assert Device("cuda", 1).chain(chosen)[0] == (
        "CUDAExecutionProvider",
        {
            "device_id": "1",
            "use_tf32": "1",
            "cudnn_conv_algo_search": "HEURISTIC",
            "prefer_nhwc": "1",
            "enable_cuda_graph": "1",
            "gpu_mem_limit": "1073741824",
            "arena_extend_strategy": "kSameAsRequested",
        },
    )
    assert Device("cpu").chain(chosen) == ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_limit": 0}, "memory_limit.*at least 1"),
        ({"memory_limit": 1.5}, "memory_limit"),
        ({"convolution_search": "fast"}, "choose exhaustive, heuristic, default"),
    ],
)
def test_gpu_options_out_of_range(options, message):
    with pytest.raises(UsageError, match=message):
        GpuOptions(**options)


def test_options_that_a_device_has_no_use_for():
    with pytest.raises(UsageError, match=r"memory_limit.*on a GPU"):
        load(relu(), device="cpu", memory_limit=2**30)
    with pytest.raises(UsageError, match=r"cuda_graphs.*TensorRT"):
        load(relu(), device="tensorrt", gpu=GpuOptions(cuda_graphs=True))


@without_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:99", "tensorrt"])
def test_cuda_without_a_gpu_is_an_error_with_the_reason(device, capfd):
    with pytest.raises(DeviceError, match=f"{device}.*cnnc.cuda|{device}.*onnxruntime-gpu") as caught:
        load(relu(), device=device)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@without_gpu
def test_auto_falls_back_and_says_so_once(caplog, capfd):
    session._say_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="cnnc"):
        for _ in range(3):
            assert load(relu(), device="auto").provider == "CPUExecutionProvider"
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "running on the CPU" in caplog.text
    assert capfd.readouterr() == ("", "")


@without_gpu
def test_auto_with_a_driver_but_no_cuda_libraries_warns(caplog, monkeypatch):
    if "CUDAExecutionProvider" not in providers.load_onnxruntime().get_available_providers():
        pytest.skip("this onnxruntime has no CUDA")
    monkeypatch.setattr("cnnc_runtime.session.has_nvidia_driver", lambda: True)
    engine = load(relu(), device="auto")
    assert engine.provider == "CPUExecutionProvider"
    (record,) = caplog.records
    assert record.levelname == "WARNING" and ".so" in record.message


def test_the_loaders_reason_is_carried(monkeypatch):
    def load_error(library: str) -> str | None:
        return "libcublasLt.so.13: cannot open shared object file" if "onnxruntime_providers" in library else None

    monkeypatch.setattr(providers, "_load_error", load_error)
    monkeypatch.setattr(providers.load_onnxruntime(), "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert providers.unavailable_reason(Device("cuda")) == (
        "libcublasLt.so.13: cannot open shared object file: pip install 'cnnc[cuda]'"
    )
