"""Metadata survives the trip through ONNX metadata_props, and a malformed value is named."""

import json

import pytest

from cnnc_runtime import PRESETS, Metadata, load
from cnnc_runtime.errors import InvalidInputError
from tests.runtime.models import relu

FULL = Metadata(
    version="1.2",
    source="net.py:Net é",
    target="portable",
    preprocessing=PRESETS["imagenet"],
    labels=("cat", "dog, \n二"),
    states={"h": "h_next"},
    report={"passes": [{"name": "fold-batchnorm", "count": 3}]},
    certificate={"error": 1e-7},
)


@pytest.mark.parametrize("metadata", [FULL, Metadata("1.2", "x", "cpu")])
def test_round_trip_through_a_model(metadata: Metadata):
    assert load(relu(metadata=metadata), device="cpu").metadata == metadata


def test_every_key_is_prefixed_and_every_value_is_json():
    props = FULL.to_props()
    assert all(key.startswith("cnnc.") for key in props)
    assert json.loads(props["cnnc.labels"]) == list(FULL.labels)


def test_a_foreign_file_has_none():
    assert Metadata.from_props({"author": "someone", "cnncish": "1"}) is None
    assert load(relu(), device="cpu").metadata is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cnnc.version", "not json"),
        ("cnnc.labels", "{}"),
        ("cnnc.labels", "[1, 2]"),
        ("cnnc.states", "[]"),
        ("cnnc.states", '{"h": 1}'),
        ("cnnc.report", "[" * 100_000),
        ("cnnc.certificate", '"yes"'),
        ("cnnc.preprocessing", "{}"),
        ("cnnc.preprocessing", json.dumps({**PRESETS["unit"].to_json(), "resize": [1]})),
        ("cnnc.preprocessing", json.dumps({**PRESETS["unit"].to_json(), "std": [0]})),
        ("cnnc.preprocessing", json.dumps({**PRESETS["unit"].to_json(), "crop": 224})),
    ],
)
def test_a_malformed_value_is_named(key: str, value: str):
    with pytest.raises(InvalidInputError, match=key):
        Metadata.from_props({**FULL.to_props(), key: value})


def test_a_missing_key_is_named():
    props = FULL.to_props()
    del props["cnnc.target"]
    with pytest.raises(InvalidInputError, match=r"cnnc\.target"):
        Metadata.from_props(props)
