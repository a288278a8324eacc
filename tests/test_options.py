"""Every knob has a range and a meaning, and the command line offers each of them."""

from dataclasses import fields

import pytest

from flowmask.cli import build_parser
from flowmask.errors import SettingsError
from flowmask.options import Settings, parse_device


@pytest.mark.parametrize("knob", [knob for knob in fields(Settings) if knob.metadata["low"] is not None])
def test_values_out_of_range_are_named(knob):
    low, high = knob.metadata["low"], knob.metadata["high"]
    for inside in (low, high):
        assert getattr(Settings(**{knob.name: inside}), knob.name) == inside
    for outside in (low - 1, high + 1, float("nan")):
        with pytest.raises(SettingsError, match=f"--{knob.name.replace('_', '-')} .* is out of range"):
            Settings(**{knob.name: outside})


def test_the_parser_has_an_option_for_each():
    parsed = vars(build_parser().parse_args(["-i", "a", "-o", "b"]))
    assert Settings(**{knob.name: parsed[knob.name] for knob in fields(Settings)}) == Settings()
    assert build_parser().parse_args(["-i", "a", "-o", "b", "--augment"]).augment is True
    text = build_parser().format_help()
    for knob in fields(Settings):
        assert f"--{knob.name.replace('_', '-')}" in text


@pytest.mark.parametrize(
    ("text", "kind", "index"), [("auto", "auto", 0), ("cpu", "cpu", 0), ("cuda", "cuda", 0), ("cuda:3", "cuda", 3)]
)
def test_devices(text, kind, index):
    assert parse_device(text) == (kind, index)


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "tensorrt:0x", "CUDA", "cuda\n"])
def test_what_is_no_device(text):
    with pytest.raises(SettingsError, match="is unknown; give one of auto, cpu, cuda, cuda:1, tensorrt"):
        Settings(device=text)
