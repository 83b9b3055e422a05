"""Optical flow: displacements that are known, their encoding, their order as channels, their colors."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import Metadata, Preprocessing
from cnnc_runtime.errors import InvalidInputError, OutputError, UsageError
from cnnc_runtime.flow import FlowInput, check_method, color_wheel, colors_of, decode, encode, optical_flow, stack
from cnnc_runtime.flow.pictures import write_pictures
from cnnc_runtime.pipeline.video import load_opencv
from tests.runtime.moving import texture


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize("displacement", [(3, -2), (0, 0), (-6, 5), (1.5, 0.25), (11, 0)])
def test_a_moving_texture_moves_by_what_it_moves(method, displacement):
    before, after = texture((192, 256)), texture((192, 256), displacement)
    field = optical_flow(before, after, method)
    assert field.shape == (192, 256, 2) and field.dtype == np.float32
    np.testing.assert_allclose(np.median(field, axis=(0, 1)), displacement, atol=0.3)


def test_color_frames_count_by_their_luma():
    gray = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    luma = np.asarray(Image.fromarray(gray).convert("L"))
    field = optical_flow(gray, np.roll(gray, 1, axis=1))
    np.testing.assert_allclose(field, optical_flow(luma, np.roll(luma, 1, axis=1)), atol=0.5)
    np.testing.assert_array_equal(optical_flow(luma[..., None], luma[..., None]), optical_flow(luma, luma))


@pytest.mark.parametrize("sizes", [((32, 40), (32, 41)), ((8, 40), (8, 40))])
def test_frames_without_a_flow(sizes):
    with pytest.raises(InvalidInputError, match="16 or more; not"):
        optical_flow(*(np.zeros(size, np.uint8) for size in sizes))


def test_methods_that_are_not_there(monkeypatch):
    with pytest.raises(UsageError, match="'lucas': choose dis, farneback, tvl1"):
        check_method("lucas")
    monkeypatch.delattr(load_opencv(), "optflow", raising=False)
    with pytest.raises(UsageError, match="pip install opencv-contrib-python-headless"):
        optical_flow(np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8), "tvl1")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match=r"pip install 'cnnc\[video\]'"):
        check_method("dis")


def test_tvl1_is_asked_of_contrib(monkeypatch):
    """With contrib the method is OpenCV's; without it, a stand-in shows that it is called as OpenCV has it."""

    class Contrib:
        @staticmethod
        def DualTVL1OpticalFlow_create():  # noqa: N802
            return Contrib

        @staticmethod
        def calc(before, after, flow):
            assert before.ndim == after.ndim == 2 and flow is None
            return np.full((*before.shape, 2), 7.0, np.float32)

    monkeypatch.setattr(load_opencv(), "optflow", Contrib, raising=False)
    frame = np.zeros((32, 40, 3), np.uint8)
    assert (optical_flow(frame, frame, "tvl1") == 7).all()


def test_encoding_by_hand_and_back():
    """255 * (d + 20) / 40, halves to even: TSN's dense_flow."""
    field = np.array([-99, -20, -10, -0.1, 0, 0.1, 10, 20, 99], np.float32)
    assert encode(field).tolist() == [0, 0, 64, 127, 128, 128, 191, 255, 255]
    assert encode(np.array([-8.0, 0, 8.0]), bound=8).tolist() == [0, 128, 255]
    np.testing.assert_allclose(decode(np.array([0, 51, 255], np.uint8), 10), [-10, -6, 10], atol=1e-6)
    inside = np.random.default_rng(0).uniform(-20, 20, 1000).astype(np.float32)
    assert np.abs(decode(encode(inside)) - inside).max() <= 20 / 255 + 1e-5
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode(decode(codes, 7.5), 7.5), codes)


def test_channels_are_x1_y1_x2_y2():
    fields = [np.stack([np.full((4, 5), 10 * k + 1), np.full((4, 5), 10 * k + 2)], axis=-1) for k in range(3)]
    stacked = stack(fields)
    assert stacked.shape == (6, 4, 5) and stacked[:, 2, 3].tolist() == [1, 2, 11, 12, 21, 22]
    with pytest.raises(InvalidInputError, match="none"):
        stack([])
    with pytest.raises(InvalidInputError, match="of one size"):
        stack([np.zeros((4, 5, 2)), np.zeros((4, 6, 2))])


@pytest.mark.parametrize(
    ("values", "expected"),
    [("pixels", [-20, 20 * 1 / 255, 20]), ("unit", [-1, 1 / 255, 1]), ("centered", [-128, 0, 127])],
)
def test_what_the_net_sees(values, expected):
    field = np.zeros((1, 3, 2), np.float32)
    field[0, :, 0] = (-50, 0, 50)
    fed = FlowInput("flow", values=values).feed([field, field], ("n", 4, 1, 3))
    assert fed.shape == (4, 1, 3) and fed.dtype == np.float32
    np.testing.assert_allclose(fed[0, 0], expected, rtol=1e-5, atol=1e-6)


def test_a_clip_of_flow_has_two_channels_and_a_time():
    fields = [np.full((2, 3, 2), (k, -k), np.float32) for k in range(5)]
    fed = FlowInput("flow", bound=255 / 2, values="centered").feed(fields, ("n", 2, 5, 2, 3))
    assert fed.shape == (2, 5, 2, 3) and fed.flags.c_contiguous
    assert fed[:, :, 0, 0].tolist() == [[0, 0, 2, 2, 4], [0, -2, -2, -4, -4]]  # 127.5 + k, halves to even, less 128


def test_mean_subtraction_leaves_the_motion_within_the_camera_s():
    field = np.random.default_rng(0).normal(0, 1, (8, 9, 2)).astype(np.float32)
    moved = FlowInput("flow", subtract_mean=True).centered(field + np.float32([3, -5]))
    np.testing.assert_allclose(moved, field - field.mean((0, 1)), atol=1e-5)
    assert FlowInput("flow").centered(field) is field


def test_description_is_read_back_and_stands_in_the_metadata():
    flow = FlowInput("flow", "farneback", 15.0, "unit", True)
    prepare = Preprocessing(resize=256, crop=(224, 224), flow=flow)
    props = Metadata("1", "net", "portable", prepare).to_props()
    assert Metadata.from_props(props).preprocessing == prepare
    assert str(prepare).endswith("flow is farneback flow less its mean within 15 pixels as unit")
    assert "flow" not in Preprocessing().to_json()  # older readers know nothing of it


@pytest.mark.parametrize(
    "change", [{"method": "lucas"}, {"bound": 0}, {"bound": "wide"}, {"name": 3}, {"subtract_mean": 1}, {"more": 1}]
)
def test_a_description_that_is_damaged(change):
    plain = Preprocessing(flow=FlowInput("flow")).to_json()
    plain["flow"] = {**plain["flow"], **change}
    props = {**Metadata("1", "net", "portable").to_props(), "cnnc.preprocessing": json.dumps(plain)}
    with pytest.raises(InvalidInputError, match=r"cnnc\.preprocessing"):
        Metadata.from_props(props)


@pytest.mark.parametrize("field", [{"method": "lucas"}, {"values": "bytes"}, {"bound": 0.0}, {"bound": float("nan")}])
def test_a_description_that_is_none(field):
    with pytest.raises(UsageError, match=next(iter(field))):
        FlowInput("flow", **field)


@pytest.mark.parametrize(
    ("frames", "flow", "message"),
    [
        (("n", 3, 8, 8), ("n", 7, 8, 8), "7 channels"),
        (("n", 3, 8, 8), ("n", 3, 5, 8, 8), "takes no flow"),
        (("n", 3, 8, 8), ("n", "c", 8, 8), "takes no flow"),
        (("n", 3, 8, 8), ("n", 6), "takes no flow"),
        (("n", 3, 8, 8), ("n", 6, 8, 9), "8x9, the frames 8x8"),
        (("n", 3, 8, 8), ("n", 2, 5, 8, 8), "does not go with frames"),
        (("n", 3, 4, 8, 8), ("n", 2, 5, 8, 8), "beside 4 frames"),
    ],
)
def test_inputs_that_take_no_such_flow(frames, flow, message):
    with pytest.raises(UsageError, match=message):
        FlowInput("flow").check(frames, flow)


def test_fields_that_an_input_takes():
    assert FlowInput("flow").length(("n", 20, 224, 224)) == 10
    assert FlowInput("flow").length(("n", 2, 64, 224, 224)) == 64


def compass(radius: float) -> np.ndarray:
    """Right, down, left, up."""
    return radius * np.array([[[1, 0], [0, 1], [-1, 0], [0, -1]]], np.float32)


def test_wheel_has_55_saturated_colors_that_close():
    wheel = color_wheel()
    assert wheel.shape == (55, 3) and wheel[0].tolist() == [1, 0, 0]
    assert (wheel.max(1) == 1).all() and (wheel.min(1) == 0).all()
    assert np.abs(np.diff(np.vstack([wheel, wheel[:1]]), axis=0)).max() <= 0.25 + 1e-9


def test_hue_is_the_direction_saturation_the_length_and_rest_is_white():
    (right, down, left, up), slow = colors_of(compass(4.0))[0].astype(int), colors_of(compass(2.0), 4)[0].astype(int)
    assert right.tolist() == [255, 0, 0]
    assert down[0] > 240 and down[1] > 210 and down[2] == 0  # near yellow
    assert left[0] == 0 and left[1] > 120 and left[2] > 240  # between cyan and blue
    assert up[0] > 80 and up[1] == 0 and up[2] > 240  # between blue and magenta
    np.testing.assert_allclose(slow, (np.stack([right, down, left, up]) + 255) / 2, atol=1)  # half way to white
    assert (colors_of(np.zeros((3, 4, 2), np.float32)) == 255).all()
    assert (colors_of(np.zeros((3, 4, 2), np.float32), 5) == 255).all()
    np.testing.assert_allclose(colors_of(compass(9.0), 4)[0], 0.75 * np.stack([right, down, left, up]), atol=1)


def test_angles_just_around_red_are_red():
    field = np.array([[[1, 1e-7], [1, -1e-7], [1, -0.0]]], np.float32)
    np.testing.assert_allclose(colors_of(field)[0], [[255, 0, 0]] * 3, atol=1)


def test_pictures(tmp_path):
    fields = [np.full((6, 8, 2), (3, -4), np.float32), np.zeros((6, 8, 2), np.float32)]
    place = tmp_path / "out" / "film.mp4-40-51"
    files = write_pictures(place, fields, 20)
    assert [file.name for file in files] == [f"0{k}-{kind}.png" for k in (1, 2) for kind in ("x", "y", "wheel")]
    pixels = [np.asarray(Image.open(place / file.name)) for file in files]
    assert (pixels[0] == 147).all() and (pixels[1] == 102).all() and (pixels[3] == 128).all()
    assert pixels[2].shape == (6, 8, 3) and (pixels[2] == colors_of(fields[0])).all() and (pixels[5] == 255).all()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        write_pictures(tmp_path / "file", fields, 20)
