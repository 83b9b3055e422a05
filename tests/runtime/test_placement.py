"""Where nodes ran, from onnxruntime's profile."""

import json

import pytest

from cnnc_runtime import load
from cnnc_runtime.errors import DeviceError
from cnnc_runtime.gpu.placement import node_events, nodes_elsewhere, require_placement
from cnnc_runtime.providers import CPU, Device
from tests.runtime.models import channel_means, relu

CUDA = Device("cuda")


def event(op: str, name: str, provider: str, outputs: object = ({"float": [1, 8]},)) -> dict[str, object]:
    args = {"op_name": op, "provider": provider, "output_type_shape": list(outputs)}
    return {"cat": "Node", "name": f"{name}_kernel_time", "args": args}


def test_nodes_and_copies_off_the_device_are_listed():
    events = [
        event("Conv", "conv1", "CUDAExecutionProvider"),
        event("Frob", "frob", "CPUExecutionProvider"),
        event("MemcpyToHost", "Memcpy_1", "CUDAExecutionProvider"),
    ]
    assert nodes_elsewhere(events, CUDA) == [
        "Frob (frob) on CPUExecutionProvider",
        "MemcpyToHost (Memcpy_1) is a copy between devices",
    ]
    assert nodes_elsewhere(events[:1], Device("tensorrt")) == ["Conv (conv1) on CUDAExecutionProvider"]


@pytest.mark.parametrize(
    ("outputs", "counts"),
    [
        ([{"int64": [4]}], False),
        ([{"int64": []}, {"bool": [1]}], False),
        ([{"int64": [1, 8]}], True),
        ([{"float": [4]}], True),
        ([], True),
    ],
)
def test_arithmetic_on_shapes_belongs_on_the_cpu(outputs, counts):
    events = [event("Gather", "g", "CPUExecutionProvider", outputs)]
    assert bool(nodes_elsewhere(events, CUDA)) is counts


def test_a_long_list_is_cut(tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps([event("Frob", f"f{index}", "CPUExecutionProvider") for index in range(14)]))
    with pytest.raises(DeviceError, match=r"net does not run on cuda:0 alone: Frob \(f0\).*Frob \(f9\).* and 4 more"):
        require_placement(profile, CUDA, "net")
    require_placement(profile, CPU, "net")


def test_an_engine_checks_itself_and_then_runs_unprofiled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with load(channel_means(), device="cpu", require_device=True) as engine:
        engine.warmup()
        assert engine.session.end_profiling() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_real_profile_names_its_nodes(tmp_path):
    from cnnc_runtime.session import open_session

    session, _ = open_session(relu((1, 4)), "net", CPU, 1, "all", profile=str(tmp_path / "p"))
    session.run(None, {"x": [[1.0, 2, 3, 4]]})
    (node,) = node_events(tmp_path / session.end_profiling())
    assert node["args"]["op_name"] == "Relu"
    (text,) = nodes_elsewhere([node], CUDA)
    assert text.endswith("on CPUExecutionProvider")
