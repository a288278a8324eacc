"""Weights in other files are refused wherever ONNX lets a tensor be."""

import pytest

from flowmask.errors import NetworkError
from flowmask.network.onnx_scan import WITHIN, refers_elsewhere
from flowmask.network.session import OnnxNetwork
from tests.conftest import MODEL, needs_network

onnx = pytest.importorskip("onnx", reason="the package onnx is missing, as in a run-time environment")
TensorProto, helper = onnx.TensorProto, onnx.helper
MESSAGES = {
    "model": onnx.ModelProto,
    "graph": onnx.GraphProto,
    "function": onnx.FunctionProto,
    "node": onnx.NodeProto,
    "attribute": onnx.AttributeProto,
    "sparse tensor": onnx.SparseTensorProto,
    "tensor": onnx.TensorProto,
}


def test_the_walk_misses_no_way_to_a_tensor():
    """Training is none: ONNX Runtime does not run it."""
    names = {message.DESCRIPTOR.name: name for name, message in MESSAGES.items()}
    for name, message in MESSAGES.items():
        inner = {
            field.number: names.get(field.message_type.name)
            for field in message.DESCRIPTOR.fields
            if field.message_type
        }
        assert {number: kind for number, kind in inner.items() if kind} == WITHIN[name]


def tensor(external=True):
    made = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    if external:
        made.ClearField("float_data")
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value="/etc/hostname")
    return made


def model(nodes=(), initializer=(), functions=()):
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_model(helper.make_graph(nodes, "g", [], [out], initializer))
    made.functions.extend(functions)
    return made


def constant(external):
    return helper.make_node("Constant", [], ["y"], value=tensor(external))


def branch(external):
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    inner = helper.make_graph([], "g", [], [out], [tensor(external)])
    return helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)


def function(external):
    return helper.make_function("d", "f", [], ["y"], [constant(external)], [helper.make_opsetid("", 20)])


PLACES = {
    "initializer": lambda external: model(initializer=[tensor(external)]),
    "constant": lambda external: model([constant(external)]),
    "branch": lambda external: model([branch(external)]),
    "function": lambda external: model(functions=[function(external)]),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_that_lies_elsewhere_is_found_and_refused(tmp_path, place):
    path = tmp_path / "a.onnx"
    path.write_bytes(PLACES[place](external=False).SerializeToString())
    assert not refers_elsewhere(path)
    path.write_bytes(PLACES[place](external=True).SerializeToString())
    assert refers_elsewhere(path)
    with pytest.raises(NetworkError, match="a.onnx: its weights are stored in other files, which Flowmask"):
        OnnxNetwork(path, "cpu")


@needs_network
def test_the_network_that_ships_as_one_file_and_as_two(tmp_path):
    assert not refers_elsewhere(MODEL)
    onnx.save(onnx.load(MODEL), tmp_path / "a.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(NetworkError, match="export it as one file"):
        OnnxNetwork(tmp_path / "a.onnx", "cpu")


@pytest.mark.parametrize(
    "data", [b"", b"\x0f", b"\xff" * 11, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x02\x0a\x7f", b"\x3a"]
)
def test_what_is_no_protocol_buffers_is_refused(tmp_path, data):
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(ValueError, match=r"\S"):
        refers_elsewhere(tmp_path / "a.onnx")
    with pytest.raises(NetworkError, match="a.onnx: it is not an ONNX file, or it is damaged"):
        OnnxNetwork(tmp_path / "a.onnx", "cpu")


def test_messages_within_messages_without_end_are_refused(tmp_path):
    inner = b""
    for key in [0x32, 0x2A, 0x0A] * 1000 + [0x3A]:  # a graph of an attribute of a node of a graph ... of a model
        size, length = len(inner), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        inner = bytes([key]) + length + bytes([size]) + inner
    (tmp_path / "a.onnx").write_bytes(inner)
    with pytest.raises(NetworkError, match="a.onnx: it is not an ONNX file, or it is damaged"):
        OnnxNetwork(tmp_path / "a.onnx", "cpu")
