"""A network file with heads for whole cells and for nuclei, made without training. Needs the package onnx."""

import dataclasses

import numpy as np
import tifffile

from tests.reference.plans import COMPARTMENTS

CONTRACT = dataclasses.replace(COMPARTMENTS, channels="green-blue", tile=64, name="two heads")
DIAMETER = 30


def write_network(onnx, path):
    """Write a network whose inner distance and interior are its input: the first channel for cells, the second for
    nuclei."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT

    def values(name, channels):
        return helper.make_tensor_value_info(name, floats, ["B", channels, "Y", "X"])

    nodes = [
        helper.make_node("Split", ["image"], ["cells", "nuclei"], axis=1, num_outputs=2),
        helper.make_node("Sub", ["cells", "cells"], ["nothing"]),
    ]
    for grey, (distance, classes) in {"cells": CONTRACT.heads[:2], "nuclei": CONTRACT.heads[2:]}.items():
        nodes.append(helper.make_node("Identity", [grey], [distance.name]))
        nodes.append(helper.make_node("Sub", ["one", grey], [f"outside {grey}"]))
        nodes.append(helper.make_node("Concat", [grey, "nothing", f"outside {grey}"], [classes.name], axis=1))
    heads = [values(head.name, head.channels) for head in CONTRACT.heads]
    one = [helper.make_tensor("one", floats, [1], [1.0])]
    graph = helper.make_graph(nodes, "heads", [values("image", 2)], heads, one)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, CONTRACT.to_metadata())
    onnx.save(model, path)


def write_cells(path, shape=(150, 200), axes="CYX", frames=0):
    """Write an image of round cells in the first channel, with nuclei of the upper ones in the second."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y % 50 - 25, x % 50 - 25)
    cells, nuclei = (np.maximum(0, size - radius) / size for size in (20, 10))
    nuclei[50:] = 0
    image = np.stack([250 * cells, 250 * nuclei]).astype(np.uint8)
    if frames:
        image, axes = np.stack([np.roll(image, 7 * number, axis=2) for number in range(frames)]), f"T{axes}"
    tifffile.imwrite(path, image, ome=path.name.endswith(".ome.tif"), metadata={"axes": axes}, photometric="minisblack")
