"""The HTML report as text: what it says, what it leaves out, and that a model's strings stay strings."""

from __future__ import annotations

import builtins
import dataclasses
import html.parser
import io
import json
import re
import sys
from base64 import b64decode
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from cnnc.analysis import KINDS, Analysis
from cnnc.analysis.report import to_html
from cnnc.analysis.report.colors import CATEGORIES, COLORS, PAGES, SYMBOLS
from cnnc.analysis.report.kernels import first_kernels
from cnnc.analysis.report.text import clean, json_for_script, plot_text, seconds, shorten
from cnnc.analysis.table import footer
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.metadata import Metadata
from tests.report.measured import with_everything
from tests.report.models import HOSTILE, deep_net, small_net

ALWAYS = ["summary", "layers", "costs", "against-dense", "roofline", "memory", "field", "kernels"]


class Page(html.parser.HTMLParser):
    """A page as a browser reads it: elements with their attributes, texts by the element they stand in."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        """Note it under the tag last opened."""
        if data.strip():
            self.texts.append((self._open, data))

    def ids(self, tag: str) -> list[str]:
        """Of all elements of that kind that have one."""
        return [str(attributes["id"]) for name, attributes in self.elements if name == tag and "id" in attributes]

    def data(self, id: str) -> Any:
        """What the JSON script of that id holds."""
        scripts = iter(attributes.get("id") for tag, attributes in self.elements if tag == "script")
        texts = iter(text for tag, text in self.texts if tag == "script")
        return json.loads(next(text for name, text in zip(scripts, texts, strict=True) if name == id))


@pytest.fixture(scope="module")
def full() -> str:
    return to_html(with_everything(small_net()))


def cells(page: Page) -> list[str]:
    return [text for tag, text in page.texts if tag in ("td", "th", "span")]


def test_sections_without_measurements() -> None:
    page = Page(to_html(small_net()))
    assert page.ids("section") == ALWAYS
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links == ["#main", *(f"#{section}" for section in ALWAYS)]
    roofline = page.data("data-roofline")
    assert roofline["layout"]["yaxis"]["title"]["text"] == "FLOPs per byte"
    assert any("No times were measured" in text for _, text in page.texts)


def test_sections_with_everything(full: str) -> None:
    page = Page(full)
    assert page.ids("section") == [*ALWAYS, "activations"]
    plots = [id.removeprefix("plot-") for id in page.ids("div") if id.startswith("plot-")]
    assert plots == [
        *("by-layer", "by-kind", "dense", "roofline", "memory", "field"),
        *("spread", "histograms", "probe", "projection"),
    ]
    assert page.data("data-roofline")["layout"]["yaxis"]["title"]["text"] == "attained FLOP/s"
    texts = [text for _, text in page.texts]
    for expected in ("height and width: any", "NoSuchOp (3)", "conv: something is wrong", "1 of 8"):
        assert expected in texts


def test_figures_are_those_of_the_analysis() -> None:
    analysis = small_net()
    page = Page(to_html(analysis))
    data = page.data("layer-data")
    columns = dict(zip([text for tag, text in page.texts if tag == "button"][2:], data["values"], strict=True))
    assert columns["Layer"] == ["conv", "norm", "relu", "pool", "flatten", "fc"]
    assert columns["Params"] == [216, 16, 0, 0, 0, 40]
    assert columns["MACs"] == [layer.macs for layer in analysis.layers]
    assert columns["As FC"] == [768 * 2048, None, None, None, None, None]
    assert "Time" not in columns
    bars = page.data("data-by-layer")["data"]
    assert [bar["y"] for bar in bars if bar["name"] == "convolution"] == [[216], [analysis.layers[0].macs]]
    assert page.data("data-memory")["data"][0]["y"] == [moment.live_bytes for moment in analysis.memory.timeline]
    texts = [text for _, text in page.texts]
    assert "256 learned; 16 running statistics; 0 others" not in texts  # 216 + 16 + 40, and mean and variance
    assert "272 learned; 16 running statistics; 0 others" in texts
    assert f"{analysis.totals.macs}*batch" in texts


def test_same_input_same_page(full: str) -> None:
    assert to_html(with_everything(small_net())) == full


@pytest.mark.parametrize("analysis", [with_everything(small_net()), deep_net(1000)], ids=["small", "deep"])
def test_small_and_without_network(analysis: Analysis) -> None:
    source = to_html(analysis)
    assert len(source.encode()) < 6_000_000
    assert not re.search(r"(?i)(src|href|action|url\()\s*=?\s*[\"']?\s*(https?:)?//", source)
    for tag, attributes in Page(source).elements:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert str(attributes.get("src", "data:")).startswith("data:")
    assert "default-src &#39;none&#39;" in source


def test_hostile_names_are_text() -> None:
    harmless, hostile = (
        Page(to_html(with_everything(small_net(**names)))) for names in ({}, {"names": HOSTILE, "name": HOSTILE[0]})
    )
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    texts = [text for _, text in hostile.texts]
    for name in HOSTILE[:4]:
        assert name in texts
    assert clean(HOSTILE[5]) in texts
    for tag, attributes in hostile.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    labels = json.dumps([hostile.data(id) for id in hostile.ids("script") if id.startswith("data-")])
    assert "alert(1)" in labels
    assert not re.search("<(?!/?b>|br>)", labels)  # plotly reads tags: there are only those of the hover texts


def test_page_can_be_written_as_utf8() -> None:
    source = to_html(small_net(HOSTILE))
    assert source.encode("utf-8").decode("utf-8") == source
    assert not re.search("[\x00\u202e\ud800]", source)


def test_json_cannot_leave_its_script() -> None:
    value = {"a": [*HOSTILE, float("nan"), float("inf"), 2**70]}
    text = json_for_script(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"a": [*HOSTILE, None, None, 2**70]}


def test_texts() -> None:
    assert plot_text("<b>&amp;") == "&lt;b&gt;&amp;amp;"
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert len(shorten("x" * 1000, 200)) == 200
    assert [seconds(time) for time in (2.0, 0.00125, 3e-6, 4e-9)] == ["2 s", "1.25 ms", "3 µs", "4 ns"]


def test_artifact_tells_its_story() -> None:
    analysis = small_net()
    barrier = {"cause": "Split (has no <blocked> form)", "layers": ["a", "b"], "conversions": 12, "pooled": 0}
    report = {
        "nodes": {"before": 9, "after": 6},
        "before": {"params": 300},
        "after": {"params": 272},
        "applied": {"fold-batchnorm": 2},
        "declined": [{"law": "fold-batchnorm", "reason": "<training_mode> is set"}] * 3,
        "fusion": {
            "before": {"nodes": 21, "fused": {"activation in Conv": 4}, "loose": {"Add": 2}},
            "after": {"nodes": 17, "fused": {}, "loose": {"Add": 3}, "barriers": [barrier, "nonsense"]},
        },
    }
    difference = {"output": "y", "error": 1.5e-7, "own_error": 1e-7, "floor": 2e-6, "cosine": 1.0, "top1": 1.0}
    certificate = {"oracle": "float64", "error": 1.5e-7, "factor": 8.0, "differences": [difference, "nonsense"]}
    properties = Metadata("1.0", "net", "onnxruntime", report=report, certificate=certificate).to_props()
    analysis.model.metadata_props.update(properties)
    page = Page(to_html(analysis))
    assert page.ids("section") == [*ALWAYS, "artifact"]
    found = [text for _, text in page.texts]
    for expected in ("fold-batchnorm", "<training_mode> is set", "1.5e-07", "float64", "300"):
        assert expected in found
    for expected in ("21", "fused: activation in Conv", "left on its own: Add", barrier["cause"], "a, b", "12"):
        assert expected in found
    lines = [line for line in footer(analysis) if "layout conversions" in line or "Split" in line]
    assert lines == [
        "layout conversions left in the engine's graph: 12",
        "  12 by Split (has no <blocked> form): a, b",
    ]
    assert json.loads(analysis.to_json())["layout_conversions"] == [barrier]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"applied": 3, "before": [1], "declined": {"a": 1}},
        {"differences": 5, "fusion": 7},
        {"fusion": {"before": 1, "after": {"barriers": [{"cause": 3}], "nodes": "many", "loose": 2}}},
    ],
)
def test_metadata_of_the_wrong_type_is_left_out(nonsense: dict[str, Any]) -> None:
    analysis = small_net()
    analysis.model.metadata_props.update(
        Metadata("1.0", "net", "cpu", report=nonsense, certificate=nonsense).to_props()
    )
    assert Page(to_html(analysis)).ids("section") == [*ALWAYS, "artifact"]


def test_malformed_metadata_is_an_error() -> None:
    analysis = small_net()
    analysis.model.metadata_props["cnnc.report"] = "{"
    with pytest.raises(InvalidInputError, match="cnnc"):
        to_html(analysis)


def test_kernels_are_shown_each_on_its_own_scale() -> None:
    graph = small_net().model.graph
    picture = first_kernels(graph)
    assert picture is not None and (picture.shown, picture.channels, picture.kernel) == (8, 3, (3, 3))
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(picture.data_uri.partition(",")[2]))))
    assert pixels.shape == (picture.height, picture.width, 4) == (7, 15, 4)
    first = pixels[:3, :3, :3].astype(float)
    weights = graph.initializers["w"].const_value.numpy()[0].transpose(1, 2, 0)
    scaled = (weights - weights.min()) / (weights.max() - weights.min()) * 255
    assert np.abs(first - scaled).max() <= 0.5
    assert not pixels[:, 3].any()  # the gap is transparent


def test_no_kernels_of_other_channels() -> None:
    assert first_kernels(deep_net(3).model.graph) is None


def test_many_kernels_are_limited() -> None:
    graph = small_net().model.graph
    weights = np.full((300, 1, 5, 5), np.nan, np.float32)
    graph.initializers["w"].const_value = ir.tensor(weights)
    picture = first_kernels(graph)
    assert picture is not None and (picture.shown, picture.kernels) == (256, 300)


def test_model_without_layers() -> None:
    analysis = deep_net(1)
    empty = dataclasses.replace(analysis, layers=(), memory=dataclasses.replace(analysis.memory, timeline=()))
    assert Page(to_html(empty)).ids("section") == ["summary", "layers"]


def test_colors_contrast_with_both_pages() -> None:
    assert set(COLORS) == set(SYMBOLS) == set(KINDS)
    assert len(set(COLORS.values())) == len(set(SYMBOLS.values())) == len(KINDS)
    for color in CATEGORIES:
        for ground in PAGES:
            high, low = sorted((luminance(color), luminance(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 3, (color, ground)


def luminance(color: str) -> float:
    """WCAG 2.2's relative luminance of #rrggbb."""
    values = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("missing", ["plotly", "jinja2"])
def test_without_the_extra_the_error_says_so(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, missing, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=re.escape("pip install 'cnnc[report]'")):
        to_html(small_net())
