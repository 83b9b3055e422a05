"""The gallery: the page and its pictures are those of the laws as they are now; boxes lie apart."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET

import pytest

from cnnc.zoo import ZOO
from cnnc_passes.demonstration import demonstrate
from cnnc_passes.laws.fuse_activation import FuseActivation
from cnnc_passes.laws.split_concat import SplitConcat
from cnnc_passes.pipeline import TARGETS, named_passes
from cnnc_passes.rewrite import Rewrite
from cnnc_runtime.errors import UsageError
from tools.gallery.graph import Box, Line, boxes_and_lines
from tools.gallery.layout import place
from tools.gallery.measure import measure
from tools.gallery.page import FOLDER, page, pictures
from tools.gallery.shown import NOT_SHOWN, SHOWN_ON
from tools.gallery.svg import before_and_after
from tools.passes_gallery import DOCS, GAINS

EVERY = {name: step for name, step in named_passes().items() if isinstance(step, Rewrite)}
AGAIN = "run python tools/passes_gallery.py"


def test_the_page_is_up_to_date() -> None:
    gains = json.loads(GAINS.read_text(encoding="utf-8")) if GAINS.exists() else {}
    assert (DOCS / "passes.md").read_text(encoding="utf-8") == page(gains), AGAIN


def test_the_pictures_are_up_to_date() -> None:
    drawn = pictures()
    found = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / FOLDER).iterdir()}
    assert found == drawn, AGAIN
    for content in drawn.values():
        ET.fromstring(content)
        assert len(content) < 20_000


@pytest.mark.parametrize("law", EVERY.values(), ids=EVERY)
def test_boxes_lie_apart_and_lines_go_down(law: Rewrite) -> None:
    for model in demonstrate(law):
        boxes, lines = boxes_and_lines(model)
        placed = place(boxes, lines)
        for (x, y, width, height), (other_x, other_y, other_width, other_height) in itertools.combinations(
            placed.rectangles, 2
        ):
            beside = x + width <= other_x or other_x + other_width <= x
            assert beside or y + height <= other_y or other_y + other_height <= y
        for bends in placed.bends:
            assert all(y <= below for (_, y), (_, below) in itertools.pairwise(bends))
        for x, y, width, height in placed.rectangles:
            assert x >= 0
            assert y >= 0
            assert x + width <= placed.size[0] + 1e-6
            assert y + height <= placed.size[1] + 1e-6


def test_a_diamond_is_laid_out_in_three_layers_around_its_middle() -> None:
    boxes = [Box("x"), Box("Relu"), Box("Tanh"), Box("Add")]
    lines = [Line(0, 0, 1, "4"), Line(0, 0, 2, "4"), Line(1, 0, 3, "4"), Line(2, 0, 3, "4")]
    (x, top, width, _), (left, *_), (right, second, *_), (end, third, end_width, _) = place(boxes, lines).rectangles
    assert top < second < third
    assert left < right
    assert x + width / 2 == pytest.approx(end + end_width / 2)


def test_a_label_stands_where_its_lines_do_not_go() -> None:
    split = before_and_after(*demonstrate(SplitConcat()), "")
    p, q = re.findall(r'<text class="l" (.*?)>N×4×2×2<', split)[:2]
    assert p.endswith('text-anchor="end"')  # its line goes to the right
    assert "text-anchor" not in q
    forked = before_and_after(*demonstrate(FuseActivation()), "")
    x, *_ = re.findall(r'<text class="l" (.*?)>N×1×4×4<', forked)
    assert x.endswith('text-anchor="middle"')


def test_what_shows_a_pass_exists() -> None:
    assert set(SHOWN_ON) | set(NOT_SHOWN) <= set(named_passes())
    assert not set(SHOWN_ON) & set(NOT_SHOWN)
    for shown in SHOWN_ON.values():
        assert shown.net in ZOO
        assert shown.target in TARGETS


def test_gains_stand_in_the_table_and_below_the_law() -> None:
    side = {"macs": 4_000_000, "nodes": 9}
    gains = {
        "hoist-stride": {
            "applied": 6,
            "machine": "a CPU",
            "date": "2026-01-31",
            "with": {**side, "macs": 3_000_000, "rounds": [0.009, 0.01, 0.011]},
            "without": {**side, "rounds": [0.011, 0.011, 0.012]},
        }
    }
    text = page(gains)
    assert "| [hoist-stride](#hoist-stride) | resnet50_v1 | 4.0, 3.0 | 9, 9 | 11, 10 | 1.10 |" in text
    assert "On resnet50_v1 it applies 6 times: 1.10 times faster, 11 (11 to 12) ms against 10 (9 to 11) ms" in text
    assert "Measured on a CPU; 2026-01-31, 3 rounds." in text


def test_a_pass_that_no_net_shows_cannot_be_measured() -> None:
    with pytest.raises(UsageError, match="explicit-pads: no net"):
        measure("explicit-pads", 1, 0.0, print)
