"""The journal: what is finished stays so, exactly once, wherever the writing stopped."""

import json

import numpy as np
import pytest

from cnnc_runtime.errors import InvalidInputError, OutputError, UsageError
from cnnc_runtime.pipeline.fingerprint import fingerprint
from cnnc_runtime.pipeline.journal import Journal, may_overwrite

RUN = {"model": "m", "inputs": "i", "options": {"--top": 5}}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "o.npz"


def fill(output, start: int, stop: int, **options) -> None:
    """Append items as a run would, and end as one that is killed: with nothing closed properly."""
    journal = Journal(output, RUN, **options)
    assert journal.finished == start
    for number in range(start, stop):
        journal.append({"name": f"i{number}", "outputs": {}}, {"y": np.full((2, number % 3), number, "f4")})
    journal._lines.close()
    journal._arrays.close()


def check(output, count: int) -> None:
    with Journal(output, RUN, resume=True) as journal:
        assert journal.finished == count
        records = list(journal.records())
    assert [record["name"] for record, _ in records] == [f"i{number}" for number in range(count)]
    for number, (_, arrays) in enumerate(records):
        np.testing.assert_array_equal(arrays["y"], np.full((2, number % 3), number, "f4"))
    assert not list(output.parent.iterdir())  # a run that ended well leaves none


def test_what_is_finished_is_there_again(output):
    fill(output, 0, 4)
    fill(output, 4, 9, resume=True)
    check(output, 9)


@pytest.mark.parametrize("suffix", [".journal", ".journal-arrays"])
def test_cut_off_anywhere_it_goes_on_from_what_is_whole(tmp_path, suffix):
    """Both files end at any byte, as after a kill or a loss of power; what was appended after a cut is found again."""
    fill(tmp_path / "whole.npz", 0, 5)
    lines = (tmp_path / "whole.npz.journal").read_bytes()
    data = (tmp_path / "whole.npz.journal-arrays").read_bytes()
    size = len(lines if suffix == ".journal" else data)
    for cut in range(size + 1):
        folder = tmp_path / f"{cut}"
        folder.mkdir()
        output = folder / "o.npz"
        (folder / "o.npz.journal").write_bytes(lines[:cut] if suffix == ".journal" else lines)
        (folder / "o.npz.journal-arrays").write_bytes(data if suffix == ".journal" else data[:cut])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "_remove", lambda journal: None)
            with Journal(output, RUN, resume=True) as journal:
                finished = journal.finished
        assert finished == 5 or cut < size
        fill(output, finished, 6, resume=True)
        check(output, 6)


def test_garbage_at_the_end_is_cut_off(output):
    fill(output, 0, 3)
    for garbage in (b"\0" * 100, b'{"name": "i3", "outp', b"\n\n", b'{"assembled": true}\n', b"[1]\n"):
        with (output.parent / "o.npz.journal").open("ab") as file:
            file.write(garbage)
    fill(output, 3, 5, resume=True)
    check(output, 5)


def test_damaged_arrays_are_found_out(output):
    fill(output, 0, 3)
    path = output.parent / "o.npz.journal-arrays"
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="damaged"), Journal(output, RUN, resume=True) as journal:
        list(journal.records())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "other"}, "the model differs"),
        ({"inputs": "other"}, "the inputs differ"),
        ({"options": {"--top": 3}}, "--top differs: 5 then, 3 now"),
        ({"options": {"--top": 5, "the preprocessing": {"a": 1}}}, "the preprocessing differs"),
    ],
)
def test_a_journal_of_another_run_is_refused_and_intact(output, change, message):
    fill(output, 0, 3)
    with pytest.raises(UsageError, match=f"{message}.*--force without --resume"):
        Journal(output, {**RUN, **change}, resume=True)
    check(output, 3)


def test_without_resume_it_is_refused_and_with_force_discarded(output):
    fill(output, 0, 3)
    with pytest.raises(OutputError, match="--resume goes on"):
        Journal(output, RUN)
    fill(output, 0, 2, force=True)
    check(output, 2)


def test_a_journal_without_items_is_no_obstacle(output):
    for content in (b"", b'{"cnnc_journal": 1, "mod', json.dumps({"cnnc_journal": 1, **RUN}).encode() + b"\n"):
        (output.parent / "o.npz.journal").write_bytes(content)
        fill(output, 0, 2)
        check(output, 2)


def test_a_file_of_its_name_that_is_none_stays(output):
    path = output.parent / "o.npz.journal"
    path.write_text("my diary")
    for options in ({}, {"force": True}, {"resume": True}):
        with pytest.raises(OutputError, match="move it away"):
            Journal(output, RUN, **options)
    assert path.read_text() == "my diary"
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(OutputError, match="move it away"):
        Journal(output, RUN, force=True)
    assert path.is_symlink()


def test_two_runs_cannot_write_one_journal(output):
    with Journal(output, RUN), pytest.raises(OutputError, match="another run"):
        Journal(output, RUN, resume=True)


def test_only_a_run_with_force_or_one_that_had_assembled_may_replace_the_output(output):
    assert not may_overwrite(output)
    fill(output, 0, 1)
    assert not may_overwrite(output)
    journal = Journal(output, RUN, resume=True)
    journal.mark_assembled()
    journal.close(keep=True)
    assert may_overwrite(output)
    fill(output, 0, 1, force=True)
    assert may_overwrite(output)


def test_an_error_keeps_only_what_is_worth_it(output):
    for count in (0, 1):
        with pytest.raises(ZeroDivisionError), Journal(output, RUN) as journal:
            for _ in range(count):
                journal.append({"name": "a", "error": "bad"})
            raise ZeroDivisionError
        assert len(list(output.parent.iterdir())) == count


def test_the_fingerprint_is_of_the_model_the_names_and_what_is_in_containers(tmp_path):
    model, data = tmp_path / "m.onnx", tmp_path / "x.npy"
    model.write_bytes(b"1")
    data.write_bytes(b"1")
    base = fingerprint(str(model), ["a.png", str(data)], {})
    assert base == fingerprint(str(model), ["a.png", str(data)], {})
    assert base["inputs"] != fingerprint(str(model), [str(data), "a.png"], {})["inputs"]
    assert base["inputs"] != fingerprint(str(model), ["a.png", str(data), "b.png"], {})["inputs"]
    data.write_bytes(b"12")
    assert base["inputs"] != fingerprint(str(model), ["a.png", str(data)], {})["inputs"]
    model.write_bytes(b"2")
    assert base["model"] != fingerprint(str(model), [], {})["model"]
    with pytest.raises(InvalidInputError, match="missing"):
        fingerprint(str(tmp_path / "missing"), [], {})
