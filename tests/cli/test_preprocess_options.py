"""The preprocessing options, as any command takes them."""

import dataclasses

import click
import pytest
from click.testing import CliRunner

from cnnc.cli.preprocess_options import preprocessing_from, preprocessing_options
from cnnc_runtime import PRESETS, Preprocessing


def parse(*arguments: str) -> tuple[int, Preprocessing | None, str]:
    seen = []

    @click.command()
    @preprocessing_options
    def command(**options):
        seen.append(preprocessing_from(options))
        assert options == {}

    result = CliRunner().invoke(command, arguments)
    return result.exit_code, seen[0] if seen else None, result.output


def test_none_given_is_none():
    assert parse() == (0, None, "")


def test_every_preset_can_be_named():
    for name, preset in PRESETS.items():
        assert parse("--preprocess", name)[1] == preset


def test_options_override_the_preset():
    imagenet = PRESETS["imagenet"]
    assert parse("--preprocess", "imagenet", "--crop", "200")[1] == dataclasses.replace(imagenet, crop=(200, 200))
    assert parse("--preprocess", "imagenet", "--size", "232")[1] == dataclasses.replace(imagenet, resize=232)
    given = parse("--size", "28,30", "--scale", "1", "--mean", "1,2,3", "--std", "4", "--color", "bgr")[1]
    assert given == Preprocessing((28, 30), None, 1.0, (1.0, 2.0, 3.0), (4.0,), "bgr")
    assert parse("--size", "28x30")[1] == Preprocessing((28, 30))


def test_a_letterbox_takes_the_place_of_a_presets_resize_and_crop():
    boxed = parse("--preprocess", "imagenet", "--letterbox", "--fill", "114")[1]
    assert boxed == dataclasses.replace(PRESETS["imagenet"], resize=None, crop=None, letterbox=True, fill=(114,))
    assert boxed.fitted(("n", 3, 64, 48)).resize == (64, 48)
    assert parse("--letterbox", "--size", "8,9", "--crop", "4")[1] == Preprocessing((8, 9), (4, 4), letterbox=True)
    assert parse("--interpolation", "bicubic", "--fill", "1,2,3")[1] == Preprocessing(
        interpolation="bicubic", fill=(1, 2, 3)
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--preprocess", "nothing"),
        ("--size", "a"),
        ("--size", "1,2,3"),
        ("--size", "0"),
        ("--crop", "-4"),
        ("--mean", "a,b"),
        ("--mean", "1,2"),
        ("--std", "0"),
        ("--scale", "nan"),
        ("--color", "hsv"),
        ("--interpolation", "cubic"),
        ("--letterbox", "--size", "8"),
        ("--fill", "256"),
        ("--fill", "-1"),
        ("--fill", "1,2"),
        ("--preprocess", "imagenet", "--color", "gray"),
    ],
)
def test_malformed_values_are_usage_errors(arguments):
    code, _, output = parse(*arguments)
    assert code == 2
    assert "Traceback" not in output and "Error" in output
