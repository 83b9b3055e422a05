"""`cnnc passes` states each law, when it declines, and shows it at work."""

from __future__ import annotations

import json

from click.testing import CliRunner

from cnnc.cli.passes import command
from cnnc_passes.pipeline import named_passes
from cnnc_passes.rewrite import Rewrite


def passes(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_law_is_shown_with_its_declines_and_an_example() -> None:
    text = passes("fold-batchnorm")
    assert text.startswith("fold-batchnorm\n  BatchNorm(Conv(x, W, b)) => Conv(")
    order = ["Declines if another node reads", "before:", "c = Conv (x, w)", "after:", 'y = Conv (x, "y.weight"']
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_a_pass_over_the_whole_graph_has_no_example() -> None:
    text = passes("simplify")
    assert "onnxsim" in text and "before:" not in text


def test_json_has_the_law_the_description_and_the_example() -> None:
    described = json.loads(passes("--json"))
    assert [one["name"] for one in described] == list(named_passes())
    for one in described:
        is_law = isinstance(named_passes()[one["name"]], Rewrite)
        assert one["law"] and one["description"]
        assert (one["example"] is not None) == is_law
        if is_law:
            assert one["example"]["before"] != one["example"]["after"]


def test_json_of_one_pass() -> None:
    (one,) = json.loads(passes("merge-clips", "--json"))
    assert "Relu" in one["example"]["before"]
