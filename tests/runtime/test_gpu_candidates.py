"""gpu="measured": which candidate is taken, on a played GPU."""

import logging

import numpy as np
import pytest

from cnnc_runtime import GpuOptions, Metadata
from cnnc_runtime.errors import DeviceError, UsageError
from cnnc_runtime.gpu.candidates import choose
from tests.runtime.gpu_player import CUDA, FakeGpu
from tests.runtime.models import add, channel_means


def measure(gpu: FakeGpu, shapes=None, model: bytes | None = None):
    model = model or channel_means()
    return choose(lambda options: gpu.open(model, options), CUDA, "net", GpuOptions(), shapes)


def test_the_fastest_is_taken(played):
    played.latency = {"heuristic": 90, "default, nhwc": 50, "exhaustive, nhwc": 60}
    choice = measure(played)
    assert choice.gpu == GpuOptions(convolution_search="default", nhwc=True)
    assert choice.seconds == {
        "exhaustive": 100,
        "heuristic": 90,
        "default": 100,
        "exhaustive, nhwc": 60,
        "heuristic, nhwc": 100,
        "default, nhwc": 50,
    }


@pytest.mark.parametrize(("microseconds", "chosen"), [(9801, "exhaustive"), (9800, "heuristic"), (10001, "exhaustive")])
def test_another_than_the_default_has_to_save_2_percent(played, microseconds, chosen):
    played.latency = dict.fromkeys(("exhaustive", "default"), 10000) | {"heuristic": microseconds}
    played.faults = {f"{search}, nhwc": "opening" for search in ("exhaustive", "heuristic", "default")}
    assert measure(played).gpu == GpuOptions(convolution_search=chosen)


@pytest.mark.parametrize("fault", ["opening", "running", "late", "wrong"])
def test_a_candidate_that_fails_or_is_wrong_is_dropped(played, caplog, fault):
    played.latency = {"heuristic, nhwc": 10, "heuristic": 50}
    played.faults = {"heuristic, nhwc": fault}
    with caplog.at_level(logging.DEBUG, logger="cnnc"):
        choice = measure(played)
    assert choice.gpu == GpuOptions(convolution_search="heuristic") and "heuristic, nhwc" not in choice.seconds
    (record,) = caplog.records
    assert record.levelname == "DEBUG" and record.message.startswith("not considered: heuristic, nhwc: ")


def test_one_that_is_far_slower_is_measured_in_one_round_only(played):
    played.latency = {"default": 301, "heuristic": 299, "heuristic, nhwc": 30000}
    choice = measure(played)
    assert "default" not in choice.seconds and "heuristic, nhwc" not in choice.seconds
    assert choice.seconds["heuristic"] == 299 and choice.gpu == GpuOptions()
    runs = {name: len(runs) for name, runs in played.runs.items()}
    assert runs["default"] == runs["heuristic, nhwc"] == 3 + 10 < runs["heuristic"] == runs["exhaustive"] == 3 + 50


def test_rounding_is_no_difference(played):
    played.latency, played.faults = {"default": 10}, {"default": "noisy"}
    assert measure(played).gpu.convolution_search == "default"


@pytest.mark.parametrize("fault", ["running", "late"])
def test_without_the_default_nothing_is_chosen(played, caplog, fault):
    played.faults = {"exhaustive": fault}
    assert measure(played) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "takes the default, as measuring failed: CUDNN failure 8" in record.message


def test_what_the_default_cannot_open_is_the_callers_error(played):
    played.faults = {"exhaustive": "opening"}
    with pytest.raises(DeviceError, match="NOT_SUPPORTED"):
        measure(played)


def test_candidates_take_turns_and_first_runs_do_not_count(played):
    played.search = 10**9
    assert set(measure(played).seconds.values()) == {100}
    names = list(played.runs)
    warm, timed = played.order[: 6 * 3], played.order[6 * 3 :]
    assert warm == [name for name in names for _ in range(3)]
    assert timed == [name for turn in range(5) for name in names[turn:] + names[:turn] for _ in range(10)]


def test_a_slow_net_is_run_once_a_round(played):
    played.latency = {"heuristic": 2 * 10**6, "exhaustive": 10**6}
    measure(played)
    assert len(played.runs["heuristic"]) == 3 + 5 and len(played.runs["default"]) == 3 + 50


def test_the_median_leaves_out_what_disturbs(played, monkeypatch):
    run = played.run

    def disturbed(session, feed):
        played.now += 10**5 * (len(played.order) % 7 == 0)
        return run(session, feed)

    monkeypatch.setattr(played, "run", disturbed)
    assert set(measure(played).seconds.values()) == {100}


def test_shapes_are_those_given_or_else_the_smallest(played):
    seconds = measure(played, [(2, 3, 8, 8), (5, 3, 8, 8)]).seconds
    assert set(played.runs["default"]) == {(2, 3, 8, 8), (5, 3, 8, 8)} and set(seconds.values()) == {200}
    played.runs.clear()
    measure(played)
    assert set(played.runs["default"]) == {(1, 3, 8, 8)}
    measure(played, {"a": (1, 4), "b": (1, 4)}, add())
    with pytest.raises(UsageError, match="say which `shapes`"):
        measure(played, None, channel_means(side="s"))
    with pytest.raises(UsageError, match="expects shape"):
        measure(played, (1, 4, 8, 8))


def test_inputs_are_within_the_range_the_net_was_compiled_for(played, monkeypatch):
    feeds = []
    run = played.run
    monkeypatch.setattr(played, "run", lambda session, feed: feeds.append(feed["x"]) or run(session, feed))
    metadata = Metadata(version="1", source="s", target="portable", input_ranges={"x": (-3.0, -2.0)})
    measure(played, None, channel_means(metadata=metadata))
    assert all(x.min() >= -3 and x.max() <= -2 and np.ptp(x) > 0.5 for x in feeds)
