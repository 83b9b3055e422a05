"""The examination: each finding on machines that are not this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnc.doctor import devices as devices_module
from cnnc.doctor import examine
from cnnc.doctor import nvidia as nvidia_module
from cnnc.doctor import software as software_module
from cnnc.doctor.finding import SCHEMA, Checkup, Finding
from cnnc.doctor.hardware import cpu_features, memory_finding, threads_finding
from cnnc.doctor.nvidia import cuda_version, cudnn_version
from cnnc.doctor.software import software
from cnnc.doctor.storage import cache_finding, folder_finding
from cnnc.machine import cpu_flags, cpu_model, memory_limit

GIB = 2**30


def named(findings: list[Finding], name: str) -> Finding:
    return next(one for one in findings if one.name == name)


def test_this_machine_runs_networks_and_every_problem_has_a_way_out() -> None:
    checkup = examine()
    assert checkup.cpu_works
    assert checkup.of("cpu").value == "runs a network on CPUExecutionProvider"
    for name in ("cuda", "tensorrt"):
        finding = checkup.of(name)
        assert finding.state == "ok" or "cannot be used: " in finding.value
    assert all(one.advice or one.section == "devices" for one in checkup.problems())
    document = json.loads(json.dumps(checkup.to_dict()))
    assert document["schema"] == SCHEMA == 1 and len(document["findings"]) == len(checkup.findings)
    assert checkup.of("threads").data["usable"] >= 1
    with pytest.raises(KeyError):
        checkup.of("nothing")


def test_a_device_that_fails_is_a_problem_only_where_there_is_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "cpu": {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider", "OpenVINOExecutionProvider"]},
        "cuda": {"providers": ["CUDAExecutionProvider"], "error": "libcublas.so.13: cannot open"},
        "tensorrt": {"providers": [], "error": "built without it"},
    }
    answers["cpu"]["provider"] = "CPUExecutionProvider"
    monkeypatch.setattr(devices_module, "_try", lambda kind: answers[kind])
    for driver, state in ((True, "problem"), (False, "missing")):
        monkeypatch.setattr(devices_module, "has_driver", lambda driver=driver: driver)
        found, works = devices_module.devices()
        assert works and named(found, "cpu").state == "ok"
        cuda = named(found, "cuda")
        assert (cuda.state, cuda.value) == (state, "libcublas.so.13: cannot open")
        assert cuda.data["built_in"] and not named(found, "tensorrt").data["built_in"]
        assert "OpenVINOExecutionProvider" in named(found, "other providers").value
    answers["cpu"] = {"providers": [], "error": "ModuleNotFoundError: No module named 'onnxruntime'"}
    found, works = devices_module.devices()
    assert not works and named(found, "cpu").state == "problem" and "pip install" in named(found, "cpu").advice


def test_a_process_that_dies_is_told_with_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "_TRY", "import sys; sys.exit('no such library')")
    assert devices_module._try("cpu") == {"error": "the process ended with 1: no such library"}


def test_the_driver_without_cudnn_is_a_problem_and_without_a_driver_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_module, "_load", lambda name: None)
    monkeypatch.setattr(nvidia_module, "_in_wheels", lambda stem: [])
    assert [one.state for one in nvidia_module.nvidia()] == ["missing"] * 3
    monkeypatch.setattr(nvidia_module, "has_driver", lambda: True)
    cudnn = named(nvidia_module.nvidia(), "cuDNN")
    assert (cudnn.state, cudnn.advice) == ("problem", "pip install 'cnnc[cuda]'")


def test_versions_are_read_as_their_libraries_write_them() -> None:
    assert [cuda_version(number) for number in (13000, 12080, 11010)] == ["13.0", "12.8", "11.1"]
    assert [cudnn_version(number) for number in (91002, 90300, 8907)] == ["9.10.2", "9.3.0", "8.9.7"]


def test_a_missing_library_says_what_it_is_for_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software_module, "_is_there", lambda module: module not in ("torch", "onnx"))
    monkeypatch.setattr(software_module, "versions", lambda packages: dict.fromkeys(packages, "1.0"))
    found = software()
    torch, onnx = named(found, "torch"), named(found, "onnx")
    assert (torch.state, torch.value) == ("missing", "not installed: no compiling PyTorch sources")
    assert torch.advice == "pip install 'cnnc[torch]'"
    assert (onnx.state, onnx.advice) == ("problem", "pip install --force-reinstall cnnc")
    assert named(found, "two onnxruntimes").state == "problem"


@pytest.mark.parametrize(
    ("flags", "state", "text"),
    [
        ({"avx2", "fma", "avx512f", "avx512_vnni", "amx_int8"}, "ok", "float32 by AVX-512 kernels, int8 by AMX ones"),
        ({"avx2", "fma", "avx_vnni"}, "ok", "float32 by AVX2 kernels, int8 by VNNI ones"),
        ({"avx2", "fma"}, "ok", "float32 by AVX2 kernels, int8 by AVX2 ones"),
        ({"asimd", "i8mm"}, "ok", "float32 by NEON kernels, int8 by I8MM ones"),
        ({"sse2"}, "problem", "no AVX2"),
        (set(), "ok", "does not list them"),
    ],
)
def test_what_the_instruction_sets_mean(flags: set[str], state: str, text: str) -> None:
    finding = cpu_features(flags)
    assert finding.state == state and text in finding.value
    assert (finding.advice != "") == (state == "problem")


def test_threads_and_memory_against_their_limits() -> None:
    assert (
        "16 logical CPUs, 2 usable cores, a quota of 2.5; threads of a run: 2" in threads_finding(16, 2, 2.5, 2).value
    )
    assert threads_finding(16, 8, None, None).state == "ok"
    assert threads_finding(16, 1, 0.5, 1).state == "problem"
    assert memory_finding(16 * GIB, 8 * GIB, None).state == "ok"
    tight = memory_finding(16 * GIB, 8 * GIB, GIB // 2)
    assert tight.state == "problem" and "limited to 0.5 GiB" in tight.value and tight.advice
    assert memory_finding(None, None, None).value == "size not known, no limit"


def test_the_cache_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNNC_CACHE", raising=False)
    assert cache_finding().value == "off" and "CNNC_CACHE" in cache_finding().advice
    monkeypatch.setenv("CNNC_CACHE", "0")
    assert cache_finding().value == "off: CNNC_CACHE is 0"
    monkeypatch.setenv("CNNC_CACHE", str(tmp_path / "cache"))
    assert "will be made" in cache_finding().value and not (tmp_path / "cache").exists()
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / "a.onnx").write_bytes(bytes(3_000_000))
    assert cache_finding().value == f"{tmp_path / 'cache'}, 3 MB"
    (tmp_path / "cache").chmod(0o777)
    assert cache_finding().state == "problem" and "chmod 700" in cache_finding().advice
    assert folder_finding("f", tmp_path, "TMPDIR").data["free"] > 0
    assert folder_finding("f", tmp_path / "none", "TMPDIR").state == "problem"


def test_the_machine_is_read_from_what_linux_says(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2\n", encoding="ascii")
    assert cpu_model(cpuinfo) == "Some CPU @ 2 GHz" and cpu_flags(cpuinfo) == {"fpu", "avx2"}
    assert cpu_model(tmp_path / "none") and cpu_flags(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/a/b\n", {"a/memory.max": "8000", "a/b/memory.max": "max"}, 8000),
        ("0::/a/b\n", {"a/memory.max": "8000", "a/b/memory.max": "5000"}, 5000),
        ("9:memory:/a\n", {"memory/a/memory.limit_in_bytes": "7000"}, 7000),
        ("9:memory:/gone\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("3:cpu:/a\n", {"a/memory.max": "1"}, None),
        ("", {}, None),
    ],
)
def test_the_memory_limit_is_the_tightest_of_the_groups(
    tmp_path: Path, membership: str, files: dict[str, str], limit: int | None
) -> None:
    (tmp_path / "cgroup").write_text(membership, encoding="ascii")
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    assert memory_limit(tmp_path / "cgroup", tmp_path / "fs") == limit


def test_problems_are_what_is_in_the_way() -> None:
    findings = tuple(Finding("s", state, state, "") for state in ("ok", "missing", "problem"))
    assert [one.name for one in Checkup(findings, True).problems()] == ["problem"]
