"""The contract survives the metadata and refuses what it does not know."""

import dataclasses
import json

import pytest

from flowmask.errors import FlowmaskError, NetworkError
from flowmask.network.contract import KEY, Contract, from_metadata

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

    leaves = [e for e in vars(errors).values() if isinstance(e, type) and e is not FlowmaskError]
    assert leaves
    for leaf in leaves:
        assert issubclass(leaf, FlowmaskError)
        builtins = {base for base in leaf.__mro__ if base.__module__ == "builtins"}
        assert builtins - {Exception, BaseException, object}
