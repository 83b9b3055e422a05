"""Machines that are played."""

import pytest

from cnnc_runtime.gpu import candidates as gpu_candidates
from cnnc_runtime.gpu import choice as gpu_choice
from tests.runtime.gpu_player import CUDA, FakeGpu


@pytest.fixture
def played(monkeypatch) -> FakeGpu:
    """The runtime believes that it has a GPU, and that the driver says which."""
    machine = FakeGpu()
    monkeypatch.setattr(gpu_candidates, "perf_counter", lambda: machine.now)
    for constant, value in (("_ROUNDS", 5), ("_RUNS", 10), ("_TURN", 10**6)):
        monkeypatch.setattr(gpu_candidates, constant, value)
    monkeypatch.setattr(gpu_candidates, "Binding", machine.bind)
    monkeypatch.setattr("cnnc_runtime.executor.Binding", machine.bind)
    monkeypatch.setattr(
        "cnnc_runtime.opening.open_session", lambda model, name, on, gpu=None, **_: (machine.open(model, gpu), CUDA)
    )
    monkeypatch.setattr(gpu_choice, "driver_and_gpus", lambda: "driver 1, GPU A")
    monkeypatch.setattr(gpu_choice, "_may_work", lambda device: True)
    monkeypatch.delenv("CNNC_CACHE", raising=False)
    return machine
