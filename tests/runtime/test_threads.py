"""How many cores a container leaves."""

import os

import pytest

from cnnc_runtime import threads
from cnnc_runtime.threads import available_cores, cpu_quota, default_threads


def write(root, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "400000 100000\n"}, 2.0),
        ("0::/host/only\n", {"cpu.max": "300000 100000\n"}, 3.0),
        (
            "4:cpu,cpuacct:/d\n",
            {"cpu,cpuacct/d/cpu.cfs_quota_us": "50000", "cpu,cpuacct/d/cpu.cfs_period_us": "1e5"},
            0.5,
        ),
        ("4:cpu:/d\n", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2.5),
        ("4:cpu:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, None),
        ("4:memory:/d\n", {"memory/d/cpu.cfs_quota_us": "1", "memory/d/cpu.cfs_period_us": "1"}, None),
        ("nonsense\n", {"cpu.max": "x y z"}, None),
        ("", {}, None),
    ],
)
def test_quota(tmp_path, membership, files, quota):
    write(tmp_path, {"self": membership, **{f"cgroup/{name}": text for name, text in files.items()}})
    assert cpu_quota(tmp_path / "self", tmp_path / "cgroup") == quota


def test_no_control_groups(tmp_path):
    assert cpu_quota(tmp_path / "missing", tmp_path / "missing") is None


def machine(monkeypatch, tmp_path, allowed: set[int], siblings: list[str], quota: float | None) -> None:
    write(tmp_path, {f"cpu{index}/topology/thread_siblings_list": text for index, text in enumerate(siblings)})
    monkeypatch.setattr(threads, "_CPUS", tmp_path)
    monkeypatch.setattr(threads, "_affinity", lambda: allowed)
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "cpu_count", lambda: len(siblings))


PAIRS = ["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"]  # four cores of two threads each


@pytest.mark.parametrize(
    ("allowed", "quota", "cores", "chosen"),
    [
        (set(range(8)), None, 4, None),  # the whole machine: onnxruntime's own choice, which pins its threads
        (set(range(8)), 16.0, 4, None),
        (set(range(8)), 2.5, 2, 2),
        (set(range(8)), 0.5, 1, 1),
        ({0, 4}, None, 1, 1),  # two threads of one core
        ({0, 1, 2}, None, 3, 3),
    ],
)
def test_cores_and_threads(monkeypatch, tmp_path, allowed, quota, cores, chosen):
    machine(monkeypatch, tmp_path, allowed, PAIRS, quota)
    assert available_cores() == cores
    assert default_threads() == chosen


def test_cores_without_topology_are_counted_as_they_are(monkeypatch, tmp_path):
    machine(monkeypatch, tmp_path, {0, 1}, [], None)
    assert available_cores() == 2
