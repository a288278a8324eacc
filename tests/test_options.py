"""Every option has a meaning, a range and a note of what it changes, and the command line offers each of them."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

from flowmask.arguments import RECORDS, build_commands, build_parser
from flowmask.errors import SettingsError
from flowmask.options import (
    LABELS,
    MAPS,
    NOTHING,
    Options,
    Output,
    Runtime,
    Segmentation,
    in_command_words,
    named,
    option_name,
    options_of,
    parse_channels,
    parse_device,
    parse_diameter,
    parse_memory,
    values_that_change,
)

KNOBS = {
    f"{record.__name__}.{name}": (record, name, default, option)
    for record in (Segmentation, Runtime, Output)
    for name, default, option in options_of(record)
}
each_option = pytest.mark.parametrize(("record", "name", "default", "option"), KNOBS.values(), ids=KNOBS)
each_range = pytest.mark.parametrize(
    ("record", "name", "option"),
    [(record, name, option) for record, name, _, option in KNOBS.values() if option.low is not None],
    ids=[key for key, (*_, option) in KNOBS.items() if option.low is not None],
)
CHANGES = {
    "diameter": MAPS, "pixel_size": MAPS, "channels": MAPS, "augment": MAPS, "plane": MAPS, "project": MAPS,
    "skip_noise_check": MAPS,
    "flow_threshold": LABELS, "cellprob_threshold": LABELS, "min_size": LABELS, "ids": LABELS,
    "watershed_thresholds": LABELS, "score_threshold": LABELS, "compartment": LABELS,
    "save": NOTHING, "batch": NOTHING, "memory": NOTHING, "threads": NOTHING, "device": NOTHING, "gpu_memory": NOTHING,
}  # fmt: skip
OTHER = {
    "diameter": ("30.5", 30.5), "flow_threshold": ("0.2", 0.2), "cellprob_threshold": ("-1.5", -1.5),
    "min_size": ("3", 3), "channels": ("3,1,0", (3, 1, 0)), "augment": (None, True),
    "skip_noise_check": (None, True), "batch": ("4", 4),
    "memory": ("4G", "4G"), "threads": ("2", 2), "device": ("cuda:1", "cuda:1"), "gpu_memory": ("10G", "10G"),
    "ids": ("challenge", "challenge"), "save": ("table,rois", ("table", "rois")),
    "watershed_thresholds": ("0.05,0.5", "0.05,0.5"), "score_threshold": ("0.5", 0.5),
    "compartment": ("nuclear", "nuclear"),
    "pixel_size": ("0.5", 0.5), "plane": ("3", 3), "project": ("max", "max"),
}  # fmt: skip
"""For each option the text of another value than the default, and that value."""


@each_range
def test_values_out_of_range_are_named(record, name, option):
    for inside in (option.low, option.high):
        assert getattr(record(**{name: inside}), name) == inside
    for outside in (option.low - 1, option.high + 1, float("nan")):
        with pytest.raises(SettingsError, match=f"`{name}=.*` is out of range"):
            record(**{name: outside})


@each_range
@pytest.mark.parametrize("value", [True, [22], object(), 1j])
def test_what_is_no_number_is_named(record, name, option, value):
    with pytest.raises(SettingsError, match=f"`{name}=.*` is not a number"):
        record(**{name: value})


@pytest.mark.parametrize("name", ["min_size", "plane"])
def test_what_is_counted_is_whole(name):
    with pytest.raises(SettingsError, match=f"`{name}=1.5` is not a whole number"):
        Segmentation(**{name: 1.5})


def test_numbers_of_numpy_become_those_of_python():
    options = Segmentation(diameter=np.float32(22), min_size=np.int64(3), channels=(np.int16(1), "DAPI"))
    assert json.loads(json.dumps(dataclasses.asdict(options)))["channels"] == [1, "DAPI"]
    assert options == Segmentation(diameter=22.0, min_size=3, channels=(1, "DAPI"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--diameter", "10,5"), "argument --diameter: '10,5' cannot be understood; give for example 30 or 12um"),
        (("--plane", "two"), "argument --plane: 'two' cannot be understood; give for example 2"),
        (("--min-size", "1.5"), "argument --min-size: '1.5' cannot be understood; give for example 15"),
        (("--channels", ""), "argument --channels: '' cannot be understood; give for example 1 or 3,1 or DAPI"),
        (("--nothing",), "unrecognized arguments: --nothing"),
    ],
)
def test_a_command_line_that_is_not_understood_is_one_line(capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        build_commands().parse_args(["segment", "a", "-o", "b", *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert line.startswith("error: ")
    assert message in line


def test_a_diameter_may_name_its_unit():
    assert parse_diameter("22px") == parse_diameter("22 px") == 22.0


def test_every_number_has_a_range():
    numbers = {name for _, name, _, option in KNOBS.values() if option.parse in (int, float)}
    ranges = {name for _, name, _, option in KNOBS.values() if option.low is not None and option.high is not None}
    assert "pixel_size" in numbers
    assert numbers | {"diameter"} == ranges
    assert ranges == {
        "diameter", "pixel_size", "flow_threshold", "cellprob_threshold", "score_threshold", "min_size", "batch",
        "plane", "threads",
    }  # fmt: skip


@each_option
def test_each_has_a_meaning_and_a_note_of_what_it_changes(record, name, default, option):
    assert len(option.meaning) > 10
    assert option.meaning == option.meaning.strip().rstrip(".")
    assert option.changes == CHANGES[name]
    assert getattr(record(), name) == default


def test_the_tables_above_name_every_option_once():
    names = [name for _, name, _, _ in KNOBS.values()]
    assert sorted(names) == sorted(CHANGES) == sorted(OTHER)


@each_option
def test_each_is_read_from_its_text_on_the_command_line(record, name, default, option):
    text, value = OTHER[name]
    if text is None:
        assert default is False
        return
    assert option.parse(text) == value
    assert getattr(record(**{name: option.parse(text)}), name) == value != default


@pytest.mark.parametrize("parser", ["python -m infer", "flowmask segment"])
def test_the_parser_has_an_option_for_each(parser):
    build, given = (build_parser, ["-i", "a"]) if parser == "python -m infer" else (build_commands, ["segment", "a"])

    def parsed(*words):
        return vars(build().parse_args([*given, "-o", "b", *words]))

    for record in (Segmentation, Runtime, Output):
        found = parsed()
        assert record(**{name: found[name] for name, _, _ in options_of(record)}) == record()
    for _, name, default, _ in KNOBS.values():
        text, value = OTHER[name]
        found = parsed(option_name(name), *([] if text is None else [text]))
        assert found[name] == value
        assert {other for other, now in parsed().items() if found[other] != now} == {name}
        assert parsed()[name] == default


def test_the_command_line_knows_the_three_records():
    assert {"segmentation": Segmentation, "runtime": Runtime, "output": Output} == RECORDS
    assert [field.name for field in dataclasses.fields(Options)] == list(RECORDS)


@each_option
def test_the_help_names_each_with_its_meaning_and_default(record, name, default, option):
    text = " ".join(build_parser().format_help().split())
    assert f"--{name.replace('_', '-')}" in text
    assert option.meaning.replace("%%", "%") in text
    if default not in (None, False):
        assert f"(default {','.join(default) if isinstance(default, tuple) else default})" in text


@pytest.mark.parametrize(
    ("record", "changes", "message"),
    [
        (Output, {"ids": "int64"}, "`ids='int64'` is unknown; give one of int32, challenge"),
        (Runtime, {"memory": "much"}, "`memory='much'` is not an amount of memory"),
        (Runtime, {"gpu_memory": "4X"}, "`gpu_memory='4X'` is not an amount of memory"),
        (Runtime, {"device": "tpu"}, "`device='tpu'` is unknown; give one of auto, cpu"),
    ],
)
def test_refused_values_are_named(record, changes, message):
    with pytest.raises(SettingsError, match=message):
        record(**changes)


def test_records_are_frozen_and_go_to_other_processes():
    options = Options(Segmentation(diameter=30, channels=(1, 2, 3)), Runtime(batch=3), Output("challenge"))
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.segmentation.diameter = 20


def test_the_options_that_change_something_are_those_that_say_so():
    for changes in ((MAPS,), (LABELS,), (MAPS, LABELS), (NOTHING,)):
        assert set(values_that_change(Options(), changes)) == {n for n, what in CHANGES.items() if what in changes}
    for _, name, _, option in KNOBS.values():
        record = next(record for record, known, _, _ in KNOBS.values() if known == name)
        changed = Options(**{record.__name__.lower(): record(**{name: OTHER[name][1]})})
        assert values_that_change(changed, (option.changes,)) != values_that_change(Options(), (option.changes,))
        others = tuple({MAPS, LABELS, NOTHING} - {option.changes})
        assert values_that_change(changed, others) == values_that_change(Options(), others)
    chosen = values_that_change(Options(Segmentation(channels=(3, 1, 0))), (MAPS,))
    assert json.loads(json.dumps(chosen)) == chosen


@pytest.mark.parametrize(
    ("text", "kind", "index"), [("auto", "auto", 0), ("cpu", "cpu", 0), ("cuda", "cuda", 0), ("cuda:3", "cuda", 3)]
)
def test_devices(text, kind, index):
    assert parse_device(text) == (kind, index)


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "tensorrt:0x", "CUDA", "cuda\n"])
def test_what_is_no_device(text):
    with pytest.raises(SettingsError, match="is unknown; give one of auto, cpu, cuda, cuda:1, tensorrt"):
        Runtime(device=text)


@pytest.mark.parametrize("text", ["", "1,", ",DAPI", " "])
def test_what_is_no_list_of_channels(text):
    with pytest.raises(ValueError, match="a channel is missing"):
        parse_channels(text)


@pytest.mark.parametrize("value", ["DAPI", (), 4, (1.5,), (True,), {"DAPI"}])
def test_channels_of_python_are_a_sequence(value):
    with pytest.raises(SettingsError, match="is not a list of channels; give numbers or names"):
        Segmentation(channels=value)


@pytest.mark.parametrize("text", ["12um", "12 um", "12.0 \u00b5m", "12\u03bcm"])
def test_a_diameter_in_micrometres(text):
    options = Segmentation(diameter=parse_diameter(text))
    assert options.diameter_in_pixels(0.25) == 48
    assert dataclasses.replace(options, pixel_size=0.5).diameter_in_pixels(0.25) == 24
    assert Segmentation(diameter=parse_diameter("12")).diameter_in_pixels(0.25) == 12
    assert Segmentation().diameter_in_pixels(0.25) is None
    with pytest.raises(SettingsError, match=f"the diameter {text} needs a pixel size, and the image has none"):
        options.diameter_in_pixels(None)
    with pytest.raises(SettingsError, match="is 12000 px at 0.001 micrometres per px; it must be from 1 to 10,000 px"):
        options.diameter_in_pixels(0.001)


@pytest.mark.parametrize("text", ["12mm", "0um", "-3um", "um", "1e3um", "12umm"])
def test_what_is_no_diameter(text):
    with pytest.raises(SettingsError, match="is not a diameter; give px, such as 30, or micrometres, such as 12um"):
        Segmentation(diameter=text)


def test_amounts_in_any_case_and_with_or_without_a_unit():
    assert parse_memory("4g") == parse_memory("4 GiB") == parse_memory("4096M") == 4 * 2**30
    assert parse_memory("12") == 12


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`channels=(3, 0)` does not fit", "--channels 3,0 does not fit"),
        ("`channels=(3,)` does not fit", "--channels 3 does not fit"),
        ("`device='cuda:7'`: no GPU, or use `device='cpu'`.", "--device cuda:7: no GPU, or use --device cpu."),
        ("give a larger `gpu_memory`", "give a larger --gpu-memory"),
        ("give the path of a file as `network`.", "give the path of a file as --model."),
        ("`min_size=-1` is out of range", "--min-size -1 is out of range"),
        ("`device=x'` is unknown", "--device x' is unknown"),
        ("channels=3.tif: `other` and memory=4G stay", "channels=3.tif: `other` and memory=4G stay"),
    ],
)
def test_messages_in_the_words_of_the_command_line(message, expected):
    assert in_command_words(message) == expected
    assert in_command_words(expected) == expected


@pytest.mark.parametrize("value", [(3, 0), "cuda`1", -1, None, 0.5])
def test_any_value_can_be_named(value):
    assert named("device", value) == f"`device={value!r}`"
    assert in_command_words(f"{named('device', value)}: no.").startswith("--device ")
