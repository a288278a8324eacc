"""A network file of the semantic family, made without training: the logit follows the grey. Needs the package onnx."""

import dataclasses

from tests.reference.plans import SEMANTIC

CONTRACT = dataclasses.replace(SEMANTIC, channels="rgb", tile=64, name="logits")


def write_network(onnx, path):
    """Write a network whose logit is 8 x (first channel - 0.4)."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT

    def values(name, channels):
        return helper.make_tensor_value_info(name, floats, ["B", channels, "Y", "X"])

    nodes = [
        helper.make_node("Split", ["image"], ["grey", "b", "c"], axis=1, num_outputs=3),
        helper.make_node("Sub", ["grey", "least"], ["above"]),
        helper.make_node("Mul", ["above", "slope"], ["logits"]),
    ]
    constants = [helper.make_tensor(name, floats, [1], [value]) for name, value in (("least", 0.4), ("slope", 8.0))]
    graph = helper.make_graph(nodes, "logits", [values("image", 3)], [values("logits", 1)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, CONTRACT.to_metadata())
    onnx.save(model, path)
