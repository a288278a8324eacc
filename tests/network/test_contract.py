"""The contract survives the metadata and refuses what it does not know."""

import dataclasses
import json

import pytest

from flowmask.errors import Cancelled, FlowmaskError, NetworkError
from flowmask.network.contract import FLOW_HEADS, KEY, Clahe, Contract, Head, from_metadata

CONTRACT = Contract("n", "green-blue", 30.0, 27.5, True, "CC0", "nothing")


def test_round_trip():
    assert from_metadata(CONTRACT.to_metadata(), "n.onnx") == CONTRACT
    assert CONTRACT.inputs == 2
    assert CONTRACT.outputs == ("maps", "diameter")
    assert dataclasses.replace(CONTRACT, sized=False).outputs == ("maps",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99"),
        ({"channels": "sepia"}, "channels has a value"),
        ({"multiple": 48}, "multiple has a value"),
        ({"multiple": 0}, "multiple has a value"),
        ({"tile": 100}, "tile has a value"),
        ({"tile": "224"}, "tile has a value"),
        ({"train_diameter": float("inf")}, "mean_diameter, train_diameter has a value"),
        ({"mean_diameter": 0}, "mean_diameter, train_diameter has a value"),
        ({"percentiles": [99, 1]}, "percentiles has a value"),
        ({"percentiles": 5}, "not complete"),
        ({"name": None, "drop": "licence"}, "not complete"),
    ],
)
def test_what_is_unknown_is_refused_by_name(change, message):
    record = dataclasses.asdict(CONTRACT) | change
    record.pop(record.pop("drop", ""), None)
    with pytest.raises(NetworkError, match=f"n.onnx: .*{message}"):
        from_metadata({KEY: json.dumps(record)}, "n.onnx")


@pytest.mark.parametrize("metadata", [{}, {KEY: "{"}, {KEY: "[]"}, {KEY: "{}"}])
def test_foreign_metadata(metadata):
    with pytest.raises(NetworkError, match="n.onnx"):
        from_metadata(metadata, "n.onnx")


def test_every_error_is_also_a_builtin():
    import flowmask.errors as errors

    leaves = [e for e in vars(errors).values() if isinstance(e, type) and e not in (FlowmaskError, Cancelled)]
    assert leaves
    for leaf in leaves:
        assert issubclass(leaf, FlowmaskError)
        builtins = {base for base in leaf.__mro__ if base.__module__ == "builtins"}
        assert builtins - {Exception, BaseException, object}


@pytest.mark.parametrize("multiple", [1, 2, 4, 8, 16, 32])
def test_multiples_that_a_network_may_ask_for(multiple):
    contract = dataclasses.replace(CONTRACT, multiple=multiple)
    assert from_metadata(contract.to_metadata(), "n.onnx") == contract
    assert contract.grain == max(16, multiple)


def test_a_tile_is_a_multiple_of_what_the_network_asks_for():
    wrong = dataclasses.replace(CONTRACT, multiple=32, tile=240)
    with pytest.raises(
        NetworkError, match=r"n.onnx: its Flowmask contract is not complete or not valid \(tile has a value"
    ):
        from_metadata(wrong.to_metadata(), "n.onnx")


def test_version_1_is_read_as_a_flow_network():
    record = dataclasses.asdict(CONTRACT) | {
        "version": 1,
        "family": "flowmask-flow",
        "seeds": "a field of older releases",
    }
    del record["heads"]
    contract = from_metadata({KEY: json.dumps(record)}, "n.onnx")
    assert contract == CONTRACT
    assert (contract.version, contract.family, contract.heads, contract.map_channels) == (2, "flow", FLOW_HEADS, 3)


HEADS = (Head("flow", 2, mirror=("y", "x")), Head("logit", 1), Head("turned", 1, mirror=("yx",)))


def test_heads_survive_and_say_what_mirroring_does():
    contract = dataclasses.replace(CONTRACT, family="semantic", heads=HEADS)
    assert from_metadata(contract.to_metadata(), "n.onnx") == contract
    assert contract.map_channels == 4
    assert contract.outputs == ("flow", "logit", "turned", "diameter")
    assert contract.mirror_signs("y") == (-1, 1, 1, -1)
    assert contract.mirror_signs("x") == (1, -1, 1, -1)
    assert CONTRACT.mirror_signs("y") == (-1, 1, 1)


@pytest.mark.parametrize(
    "heads",
    [
        (),
        (Head("a", 0),),
        (Head("a", 1, stride=2),),
        (Head("a", 2, mirror=("y",)),),
        (HEADS[0], Head("b", -1)),
        (Head("a", 1, record=3),),
        (Head("a", 1, record=16),),  # the tiles of this contract are multiples of 8
        (Head("a", 1, record=8), Head("b", 1)),
    ],
)
def test_heads_that_this_version_cannot_run_are_refused(heads):
    contract = dataclasses.replace(CONTRACT, heads=heads)
    with pytest.raises(NetworkError, match=r"n.onnx: .*\(heads has a value that is not valid or not supported\)"):
        from_metadata(contract.to_metadata(), "n.onnx")


def test_a_head_of_records_is_read_again_and_other_heads_do_not_mention_records():
    contract = dataclasses.replace(CONTRACT, heads=(Head("a", 2, record=8),))
    assert from_metadata(contract.to_metadata(), "n.onnx") == contract
    assert contract.record == 8
    assert CONTRACT.record == 1
    assert "record" not in CONTRACT.to_metadata()[KEY]


@pytest.mark.parametrize("change", [{"clahe": Clahe(99.5, 64)}, {"pixel_size": 0.5}])
def test_preprocessing_is_read_again_and_refused_by_releases_that_do_not_know_it(change):
    contract = dataclasses.replace(CONTRACT, sized=False, **change)
    metadata = contract.to_metadata()
    assert from_metadata(metadata, "n.onnx") == contract
    assert json.loads(metadata[KEY])["version"] == 3


def test_a_network_without_preprocessing_does_not_mention_it():
    record = json.loads(CONTRACT.to_metadata()[KEY])
    assert record["version"] == 2
    assert not {"clahe", "pixel_size"} & record.keys()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"clahe": {"percentile": 0, "kernel": 128}}, "clahe"),
        ({"clahe": {"percentile": 99.9, "kernel": 8}}, "clahe"),
        ({"clahe": {"percentile": 99.9, "kernel": 64.5}}, "clahe"),
        ({"clahe": {"percentile": 99.9, "kernel": 128}, "sized": True}, "clahe"),
        ({"clahe": {"sigma": 3}}, "sigma"),
        ({"clahe": 5}, "mapping"),
        ({"pixel_size": 0}, "pixel_size"),
        ({"pixel_size": "0.5"}, "str"),
    ],
)
def test_preprocessing_that_is_not_valid_is_refused(change, name):
    record = dataclasses.asdict(CONTRACT) | {"sized": False} | change
    with pytest.raises(NetworkError, match=f"n.onnx: its Flowmask contract is not complete.*{name}"):
        from_metadata({KEY: json.dumps(record)}, "n.onnx")


@pytest.mark.parametrize("heads", [None, 3, [{"name": "a"}], [{"name": "a", "channels": 1, "mirror": 5}]])
def test_heads_that_are_no_heads_are_refused(heads):
    record = dataclasses.asdict(CONTRACT) | {"heads": heads}
    with pytest.raises(NetworkError, match=r"n.onnx: its Flowmask contract is not complete"):
        from_metadata({KEY: json.dumps(record)}, "n.onnx")


def test_another_family_of_version_1_is_not_taken_for_the_flow_family():
    record = dataclasses.asdict(CONTRACT) | {"version": 1, "family": "other"}
    assert from_metadata({KEY: json.dumps(record)}, "n.onnx").family == "other"
    del record["family"]
    with pytest.raises(NetworkError, match=r"n.onnx: its Flowmask contract is not complete or not valid \('family'\)"):
        from_metadata({KEY: json.dumps(record)}, "n.onnx")
