"""The cache of optimized models: the same results, sooner, and nothing believed without its hash."""

import logging
import os
import stat
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cnnc_runtime import Metadata, cache_folder, load, model_cache
from cnnc_runtime.cache_folder import content_hash, evict
from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.gpu import tensorrt_cache
from tests.runtime.models import relu, serialized


def network(seed: int = 0) -> bytes:
    w = np.random.default_rng(seed).standard_normal((32, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    metadata = Metadata(version="1", source="s", target="portable", labels=("a", "b"))
    return serialized(nodes, {"x": ("n", 3, 9, 9)}, ["y"], constants={"w": w}, metadata=metadata)


X = np.random.default_rng(1).standard_normal((2, 3, 9, 9)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("CNNC_CACHE", str(folder))
    return folder


def entries(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("*.ort")) if folder.exists() else []


def run(model, **options) -> np.ndarray:
    with load(model, device="cpu", **options) as engine:
        assert engine.metadata.labels == ("a", "b") and engine.inputs[0].shape == ("n", 3, 9, 9)
        return engine.run(X)


def test_the_second_start_is_from_the_cache_and_equal(folder, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(network())
    bare = run(path, cache=False)
    assert entries(folder) == []
    assert np.array_equal(run(path), bare)
    (entry,) = entries(folder)
    opened = []
    create = model_cache.open_cached
    monkeypatch.setattr(
        "cnnc_runtime.session.open_cached",
        lambda *a: create(*a[:3], lambda path: pytest.fail("optimized again"), lambda p: opened.append(p) or a[4](p)),
    )
    assert np.array_equal(run(path), bare)
    assert np.array_equal(run(network()), bare)  # the content counts, not where it is
    assert opened == [str(folder / entry)] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_the_cache_is_private(folder):
    run(network())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (entry,) = folder.glob("*.ort")
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


def test_a_key_for_everything_that_matters(folder, monkeypatch):
    run(network())
    run(network(seed=1))
    run(network(), optimization="basic")
    assert len(entries(folder)) == 3
    run(network(), optimization="off")
    run(network(), threads=1)
    assert len(entries(folder)) == 3
    monkeypatch.setattr(model_cache, "_cpu", lambda: "another CPU")
    run(network())
    assert len(entries(folder)) == 4


def damage(entry, how: str) -> None:
    content = bytearray(entry.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    elif how == "flipped":
        content[len(content) // 2] ^= 1
    elif how == "empty":
        content.clear()
    else:
        content[:] = b"another model"
    entry.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_entry_is_dropped_with_one_warning_and_made_again(folder, caplog, how):
    bare = run(network())
    (entry,) = folder.glob("*.ort")
    damage(entry, how)
    with caplog.at_level(logging.WARNING, logger="cnnc"):
        assert np.array_equal(run(network()), bare)
        assert np.array_equal(run(network()), bare)
    (record,) = caplog.records
    assert "damaged or not ours: dropped" in record.message
    (again,) = folder.glob("*.ort")
    assert again.name.endswith(f"-{content_hash(again)}.ort")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.parametrize("how", ["link", "writable"])
def test_an_entry_that_others_could_change_is_not_opened(folder, caplog, how, tmp_path):
    run(network())
    (entry,) = folder.glob("*.ort")
    if how == "link":
        entry.rename(tmp_path / "elsewhere")
        entry.symlink_to(tmp_path / "elsewhere")
    else:
        entry.chmod(0o666)
    run(network())
    assert "not ours" in caplog.text
    (entry,) = folder.glob("*.ort")
    assert not entry.is_symlink() and stat.S_IMODE(entry.stat().st_mode) == 0o600


def test_a_valid_entry_that_onnxruntime_rejects_is_not_made_again_and_again(folder, caplog):
    bare = run(network())
    (entry,) = folder.glob("*.ort")
    key = entry.name.partition("-")[0]
    entry.write_bytes(b"no model")
    entry.rename(folder / f"{key}-{content_hash(b'no model')}.ort")
    for _ in range(2):
        assert np.array_equal(run(network()), bare)
    assert len(caplog.records) == 1 and "not cached again" in caplog.text and entries(folder) == []


def test_switched_off_or_moved(folder, tmp_path, monkeypatch):
    for wanted in (None, True):
        monkeypatch.setenv("CNNC_CACHE", "0")
        run(network(), cache=wanted)
    monkeypatch.delenv("CNNC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    run(network())
    assert not folder.exists() and not (tmp_path / "home").exists()
    run(network(), cache=True)
    assert len(entries(tmp_path / "home" / "cnnc")) == 1


def test_a_folder_that_is_no_good_is_said_and_done_without(folder, caplog):
    folder.write_text("a file")
    run(network())
    assert "no cache" in caplog.text
    if hasattr(os, "getuid"):
        folder.unlink()
        folder.mkdir()
        folder.chmod(0o777)
        run(network())
        assert "others can write" in caplog.text and entries(folder) == []


def test_a_disk_that_cannot_take_the_entry_does_not_matter(folder, monkeypatch):
    monkeypatch.setattr(model_cache.secrets, "token_hex", lambda n: "missing/folder")
    run(network())
    assert entries(folder) == []


def test_weights_in_other_files_are_not_cached(folder, tmp_path):
    model = onnx.load_from_string(network())
    model.graph.initializer[0].CopyFrom(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[32, 3, 3, 3], data_location=TensorProto.EXTERNAL)
    )
    model.graph.initializer[0].external_data.add(key="location", value="w.bin")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    for value in (1.0, 2.0):
        np.full(32 * 27, value, np.float32).tofile(tmp_path / "w.bin")
        y = run(tmp_path / "net.onnx")
        np.testing.assert_allclose(y.max(), max(0, value * windows().max()), rtol=1e-4)
    assert entries(folder) == []


def windows() -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(X, (3, 3), axis=(2, 3)).sum(axis=(1, 4, 5))


def test_a_models_own_fault_is_still_its_own(folder):
    with pytest.raises(InvalidInputError, match="damaged"):
        load(relu()[:40], device="cpu")
    assert entries(folder) == []


def test_the_least_recently_used_go(tmp_path):
    for index, name in enumerate("abcd"):
        (tmp_path / f"{name}.ort").write_bytes(bytes(10))
        os.utime(tmp_path / f"{name}.ort", (index, index))
    os.utime(tmp_path / "a.ort", (9, 9))
    evict(tmp_path, "*.ort", 25, keep=tmp_path / "b.ort")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ort", "b.ort"]


def test_hashes_of_files_and_bytes_agree(tmp_path):
    seen = set()
    for size in (0, 1, 2**22, 2**22 + 1, 9 * 2**20):
        content = np.random.default_rng(size).bytes(size)
        (tmp_path / "file").write_bytes(content)
        assert content_hash(tmp_path / "file") == content_hash(content)
        seen.add(content_hash(content))
    assert len(seen) == 5


def test_tensorrt_files_are_kept_only_as_they_were_sealed(tmp_path, caplog):
    root = cache_folder.private_folder(tmp_path / "root")
    folder = tensorrt_cache.open_folder(root, b"model", "options")
    assert folder != tensorrt_cache.open_folder(root, b"another", "options")
    for name in ("a.engine", "b.engine", "c.timing"):
        (folder / name).write_bytes(name.encode())
        (folder / name).chmod(0o600)
    tensorrt_cache.seal(folder)
    (folder / "a.engine").write_bytes(b"changed")
    (folder / "late.engine").write_bytes(b"never listed")
    assert tensorrt_cache.open_folder(root, b"model", "options") == folder
    assert sorted(path.name for path in folder.iterdir()) == ["b.engine", "c.timing", "hashes.json"]
    assert len(caplog.records) == 2 and "a.engine" in caplog.text and "late.engine" in caplog.text
    (folder / "hashes.json").write_text("[]")
    tensorrt_cache.open_folder(root, b"model", "options")
    assert [path.name for path in folder.iterdir()] == ["hashes.json"]
