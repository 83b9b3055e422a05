"""Results of the race against the peers: merged, summed up and shown, from small made-up ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cnnc.zoo import ZOO
from cnnc_passes.pipeline import TARGETS, named_passes
from cnnc_runtime.errors import CnncError, InvalidInputError
from tools.contenders.known import DEFAULT, contenders, input_shapes
from tools.contenders.race import reason
from tools.peers import LIST, QUICK
from tools.peers_page.compare import ENGINES_OWN, has_a_law, lead_over, noise_of
from tools.peers_page.page import page
from tools.peers_page.picture import draw
from tools.peers_page.results import geometric_mean, merged, read, record, speed_of, write

MACHINE = {"cpu": "a CPU", "usable_cores": 2, "python": "3.11", "versions": {"onnxruntime": "1.31.1"}}


def entry(*milliseconds: float, **more: Any) -> dict[str, Any]:
    return {"rounds": [1e-3 * one for one in milliseconds], "difference": 0.0, **more}


def net(**entries: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): one for name, one in entries.items()}
    return record(named, 0.5, MACHINE, "1234abc")


FAST = net(
    raw=entry(10, 12, 11, seconds=2.0, peak_bytes=3e8, bytes=2_500_000, macs=7_000_000, nodes=5, layout_conversions=2),
    raw_again=entry(10, 11, 10),
    onnxsim=entry(11, 11, 11, seconds=0.5, peak_bytes=1e8, running_bytes=5e7),
    cnnc=entry(5, 5.5, 6, seconds=4.0, peak_bytes=4e8, applied={"merge-parallel": 2}, layout_conversions=2),
    openvino=entry(2, 2, 2, difference=0.01),
    openvino_f32=entry(4, 4.2, 4.9),
    torch_compile={"failed": "no C++ compiler works | really"},
)
SAME = net(raw=entry(1, 1, 1), cnnc=entry(1, 1, 1, applied={"fold-batchnorm": 3}))


def results(**nets: Any) -> dict[str, Any]:
    return merged({}, nets, nets)


def test_an_invocation_replaces_its_nets_and_keeps_the_others() -> None:
    old = results(alexnet=SAME, vgg16=SAME)
    both = merged(old, {"vgg16": FAST, "lenet5": SAME}, ["lenet5", "alexnet", "vgg16"])
    assert list(both["nets"]) == ["lenet5", "alexnet", "vgg16"]
    assert both["nets"]["vgg16"] == FAST
    assert both["nets"]["alexnet"] == SAME
    assert list(merged(old, {}, ["vgg16"])["nets"]) == ["vgg16", "alexnet"]


def test_results_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    assert read(path)["nets"] == {}
    write(results(vgg16=FAST), path)
    assert read(path) == results(vgg16=FAST)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"schema": 0, "nets": {}})])
def test_a_file_with_other_contents_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "peers.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"peers\.json.*move it away"):
        read(path)


def test_speed_is_the_ratio_of_the_medians() -> None:
    assert speed_of(FAST, "cnnc") == pytest.approx(2.0)
    assert speed_of(FAST, "torch-compile") is None
    assert speed_of(FAST, "eager") is None
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert geometric_mean([]) is None


@pytest.mark.parametrize(
    ("peer", "lead"),
    [
        (entry(3, 4, 4.5), 1.5),
        (entry(5.4, 5.5, 5.6), None),  # by less than the raw export is off from itself
        (entry(3, 9, 4), None),  # not in 6 of 7 rounds
        (entry(1, 1, 1) | {"difference": 0.01}, None),
        ({"failed": "somehow"}, None),
    ],
)
def test_a_peer_leads_only_beyond_noise_and_in_float32(peer: dict[str, Any], lead: float | None) -> None:
    one = net(raw=entry(10, 11, 12), raw_again=entry(9, 10, 11), cnnc=entry(5, 6, 7), eager=peer)
    assert noise_of(one) == pytest.approx(1.1)
    assert lead_over(one, "eager", "cnnc") == (lead and pytest.approx(lead))


def test_a_law_counts_that_the_engine_does_not_have_and_that_changes_its_graph() -> None:
    def of(law: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        return has_a_law(net(raw=entry(1, **before), cnnc=entry(1, applied={law: 1}, **after)))

    assert has_a_law(FAST)
    assert not has_a_law(SAME)
    many, few = {"operators": {"Conv": 3}}, {"operators": {"Conv": 1}}
    assert of("merge-parallel", many, few)
    assert of("pool-before-pointwise", many | {"macs": 9}, many | {"macs": 5})
    assert not of("merge-parallel", many, many)
    assert not of("fold-batchnorm", many, few)
    assert not of("reduce-to-pool", many | {"layout_conversions": 2}, few | {"layout_conversions": 2})
    assert of("reduce-to-pool", many | {"layout_conversions": 2}, few | {"layout_conversions": 1})
    assert not has_a_law(net(raw=entry(1), cnnc_portable=entry(1, applied={"recognise-activations": 1}, macs=1)))
    assert set(named_passes()) > ENGINES_OWN


def test_the_page_has_every_figure() -> None:
    text = page(results(mobileone_s0=FAST, vgg16=SAME), "peers.svg")
    assert "| cnnc | 2.00 | 1.00 | 1.00 to 2.00 | 2 |" in text
    assert "| mobileone_s0 | 11 | 1.10 | 1.00 | 2.00 | 5.50* | 2.62 | failed |" in text
    assert "| onnxsim | 2.00 |  | 2.00 | 1 | 1 | 0 |" in text
    assert "| mobileone_s0 | openvino-f32 | cnnc | 4.2 | 5.5 | 1.31 | 1.10 |" in text
    assert "Nowhere beyond noise, of 2 networks." in text
    assert "| raw | 11 | 10 to 12 | 1.00 | 0e+00 | 5 | 2 | 7.0 | 2.50 | 2.0 | 300 |  |" in text
    assert "| onnxsim | 11 | 11 to 11 | 1.00 | 0e+00 |  |  |  |  | 2.5 | 300 | 50 |" in text  # the export is in
    assert "torch-compile failed: no C++ compiler works \\| really" in text
    assert "commit 1234abc, 3 rounds. A law applies. cnnc: merge-parallel ×2; cnnc-cpu: no pass." in text
    assert "Measured on a CPU, 2 usable cores" in text


def test_an_artifact_slower_than_a_simplifiers_output_is_listed() -> None:
    slow = net(raw=entry(10, 10, 10), onnxsim=entry(7, 7, 7), cnnc=entry(8, 8, 8), cnnc_cpu=entry(7, 7, 7))
    text = page(results(vgg16=slow), "peers.svg")
    assert "| vgg16 | cnnc | onnxsim | 1.14 | 1.00 |" in text
    assert "| vgg16 | cnnc-cpu |" not in text


def test_without_results_there_is_a_page() -> None:
    assert "## Speed" not in page(results(), "peers.svg")


def test_the_picture_is_small_and_the_same_each_time() -> None:
    every = net(**{name.replace("-", "_"): entry(10 + i) for i, name in enumerate(DEFAULT)})
    many = results(**dict.fromkeys(ZOO, every))
    svg = draw(many)
    assert svg == draw(many)
    assert svg.startswith(b"<?xml")
    assert b"mobileone_s0" in svg
    assert len(svg) < 200_000
    assert draw(results()).startswith(b"<?xml")


def test_every_target_of_this_engine_contends_and_raw_always_does() -> None:
    names = [one.name for one in contenders()]
    assert names == list(DEFAULT)
    assert {"cnnc", *(f"cnnc-{one}" for one in TARGETS[1:] if one != "portable")} < set(names)
    assert [one.name for one in contenders(("eager",))] == ["raw", "eager"]


def test_the_list_is_the_zoo() -> None:
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines == list(ZOO)
    assert set(QUICK) < set(ZOO)
    assert input_shapes("two_stream", 1) == {"": (1, 3, 224, 224), "flow": (1, 20, 224, 224)}


def test_a_reason_is_the_last_line() -> None:
    assert reason(RuntimeError("Traceback\n  File x\nValueError: no\n\n")) == "ValueError: no"
    assert reason(CnncError("")) == "CnncError"
