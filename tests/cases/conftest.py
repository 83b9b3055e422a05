"""The same weights in every run, whichever tests run; without what is slow on tiny networks."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

import cnnc


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cnnc.compile(torch.nn.ReLU(), torch.zeros(1, 2), device="cpu")  # imports what is imported late
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _frozen_heap(_one_thread: None) -> Iterator[None]:
    """A compilation collects garbage twice, among all of PyTorch's objects: take out those that are there now."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
