"""Heat maps over pictures: the class that was asked for, and each place at the center of its window."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc_runtime import Metadata, Preprocessing
from cnnc_runtime.batch import Result
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.maps.geometry import place
from cnnc_runtime.maps.heat import class_index, heat_of, spread
from cnnc_runtime.maps.overlay import heat_colors, overlay
from cnnc_runtime.maps.windows import Windows
from cnnc_runtime.results import describe

WINDOWS = Windows((32, 32), (4, 8))


def test_a_place_is_at_the_center_of_its_window() -> None:
    heat = np.zeros((5, 4))
    heat[3, 2] = 1
    whole = spread(heat, place(Preprocessing(), (48, 56)), WINDOWS)
    row, column = np.unravel_index(int(whole.argmax()), whole.shape)
    # the window begins at (12, 16) and ends at (44, 48): pixels 27 and 28, 31 and 32 are beside its center
    assert (int(row), int(column)) in {(27, 31), (27, 32), (28, 31), (28, 32)}
    assert whole[0, 0] == 0 and whole[27, 31] == whole[28, 32] == (1 - 0.5 / 4) * (1 - 0.5 / 8)


def test_beyond_the_outermost_centers_it_is_as_there() -> None:
    whole = spread(np.array([[1.0, 0.0]]), place(Preprocessing(), (32, 40)), WINDOWS)
    assert (whole[:, :16] == 1).all() and (whole[:, 24:] == 0).all()


def test_a_scaled_picture_is_followed() -> None:
    """Twice as large as what the net saw: the same place, at twice the coordinates."""
    heat = np.random.default_rng(0).uniform(size=(5, 4))
    small = spread(heat, place(Preprocessing(), (48, 56)), WINDOWS)
    large = spread(heat, place(Preprocessing(resize=(48, 56)), (96, 112)), WINDOWS)
    np.testing.assert_allclose(
        (large[::2, ::2] + large[1::2, 1::2] + large[::2, 1::2] + large[1::2, ::2]) / 4, small, atol=0.05
    )


def test_without_windows_the_places_divide_the_input() -> None:
    heat = np.arange(4.0).reshape(2, 2)
    whole = spread(heat, place(Preprocessing(), (8, 8)), None)
    assert whole[0, 0] == 0 and whole[7, 7] == 3 and whole[3, 0] < 1 < whole[4, 0]


def test_what_a_crop_cut_off_has_no_heat() -> None:
    whole = spread(np.ones((1, 1)), place(Preprocessing(crop=(4, 4)), (6, 4)), None)
    assert np.isnan(whole[[0, 5]]).all() and (whole[1:5] == 1).all()
    picture = np.full((6, 4, 3), (90, 60, 30), np.uint8)
    laid = overlay(picture, whole)
    np.testing.assert_array_equal(laid[0], np.full((4, 3), 60))
    np.testing.assert_array_equal(laid[2, 0], np.rint((picture[2, 0] + heat_colors(np.ones(1))[0]) / 2))


def test_colors_go_from_blue_over_green_to_red() -> None:
    colors = heat_colors(np.array([[0.15, 0.5, 0.95, 1, 7]]))[0]
    assert colors.argmax(axis=1).tolist() == [2, 1, 0, 0, 0]
    assert colors.min() >= 0 and colors.max() <= 255
    np.testing.assert_array_equal(colors[3], colors[4])


def test_the_top_class_is_the_highest_anywhere() -> None:
    scores = np.zeros((3, 2, 2), np.float32)
    scores[2, 0, 1], scores[1] = 5, 0.5
    index, heat = heat_of(scores)
    assert index == 2 and heat.argmax() == 1 and heat.max() == pytest.approx(np.exp(5) / (np.exp(5) + np.exp(0.5) + 1))
    assert heat_of(scores, 1)[0] == 1


def test_a_class_by_label_or_number() -> None:
    labels = ("tabby cat", "tiger cat", "12")
    assert class_index("tiger cat", 3, labels) == 1
    assert class_index("2", 3, ()) == class_index("12", 3, labels) == 2
    with pytest.raises(UsageError, match="did you mean tabby cat, tiger cat"):
        class_index("Cat", 3, labels)
    with pytest.raises(UsageError, match="there are 3 classes, 0 to 2"):
        class_index("3", 3, ())


def test_windows_are_read_from_the_metadata() -> None:
    def windows(report: object) -> Windows | None:
        return Windows.of(Metadata("1", "net", "portable", report=report))  # type: ignore[arg-type]

    assert windows({"fully_convolutional": {"window": [32, 32], "stride": [4, 8]}}) == WINDOWS
    assert windows({}) is windows(None) is windows({"fully_convolutional": None}) is Windows.of(None) is None
    assert windows({"fully_convolutional": {"window": [6, 32, 32], "stride": [1, 4, 4]}}) == Windows(
        (6, 32, 32), (1, 4, 4)
    )
    for bad in ({"window": [32]}, {"window": [0, 1], "stride": [1, 1]}, {"window": "x", "stride": [1]}):
        with pytest.raises(InvalidInputError, match="compile it again"):
            windows({"fully_convolutional": bad})


def test_a_sliding_classifier_is_described_by_its_highest_scores() -> None:
    scores = np.zeros((3, 2, 2), np.float32)
    scores[2, 0, 1], scores[1, 1, 0] = 5, 4
    out = describe(Result("a", {"y": scores}), ("x", "y", "z"), top=2, slides=True)["outputs"]["y"]
    assert [(one["label"], one["place"]) for one in out["top"]] == [("z", [0, 1]), ("y", [1, 0])]
    one_window = describe(Result("a", {"y": scores[:, :1, 1:]}), slides=True)["outputs"]["y"]
    plain = describe(Result("a", {"y": scores[:, 0, 1]}))["outputs"]["y"]
    assert [(e["index"], e["score"]) for e in one_window["top"]] == [(e["index"], e["score"]) for e in plain["top"]]
