"""Pack a network file for bioimage.io: a zip file with rdf.yaml, the ONNX file, test tensors and the card.

    python -m export.bioimageio models/small.onnx -o small.bioimageio.zip

Programs that read the format (ilastik, deepImageJ, bioimageio.core) get the maps of the network; the steps from maps to
cells are Flowmask's own, as the README in the package says. Format: Model Resource Description File 0.5,
https://github.com/bioimage-io/spec-bioimage-io.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.families import Summary, find_family, output_names
from flowmask.errors import FlowmaskError, NetworkError, one_line
from flowmask.network.contract import Contract
from flowmask.network.registry import find_network
from flowmask.network.session import OnnxNetwork
from flowmask.version import __version__

FORMAT = "0.5.4"
EPSILON = 1e-6
"""Added to the range of a channel, as bioimage.io's scale_range does."""
SPACE = ("y", "x")
Tensor = npt.NDArray[np.float32]


def pack(model: Path, target: Path) -> None:
    """Write the package of a network file to the zip file ``target``.

    Raises NetworkError if the file is not a network of Flowmask, is of a family that has no package, or needs CLAHE,
    which the format does not have.
    """
    network = OnnxNetwork(model, "cpu")
    summary_of(network.contract)
    if network.contract.clahe:
        raise NetworkError(f"{model}: its images are treated with CLAHE, which bioimage.io cannot express.")
    image = test_image(network.contract)
    names = [output.name for output in network.session.get_outputs()]
    outputs = dict(zip(names, network.session.run(names, {"image": normalised(image, network.contract)}), strict=True))
    weights = model.read_bytes()
    files = {
        model.name: weights,
        "test-image.npy": _npy(image),
        **{f"test-{name}.npy": _npy(values) for name, values in outputs.items()},
        "README.md": readme(network.contract).encode(),
    }
    opset = _opset(weights)
    files["rdf.yaml"] = json.dumps(description(network.contract, model.name, outputs, files, opset), indent=1).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def summary_of(contract: Contract) -> Summary:
    """Return what the package says about the family of a network. Raises NetworkError if it has no package.

    >>> summary_of(Contract("example", "rgb", 30.0, 30.0, False, "", "")).tag
    'flows'
    """
    summary = find_family(contract.family).summary
    if summary is None:
        raise NetworkError(
            f"{contract.name}: there is no package for bioimage.io for networks of the family {contract.family!r}; "
            f"use the .onnx file itself with flowmask segment --model FILE."
        )
    return summary


def test_image(contract: Contract) -> Tensor:
    """Return an image (1, C, Y, X) float32 of round cells on noise, of the size of a tile.

    >>> contract = Contract("example", "rgb", 30.0, 30.0, False, "", "")
    >>> test_image(contract).shape
    (1, 3, 224, 224)
    """
    side, rng = contract.tile, np.random.default_rng(0)
    image = rng.normal(20, 3, (side, side))
    y, x = np.mgrid[:side, :side]
    step = round(1.6 * contract.mean_diameter)
    for cy in range(step // 2, side, step):
        for cx in range(step // 2, side, step):
            image += 100 * (np.hypot(y - cy, x - cx) < contract.mean_diameter / 2)
    return np.repeat(image[None, None], contract.inputs, axis=1).astype(np.float32)


def normalised(image: Tensor, contract: Contract) -> Tensor:
    """Return an image (1, C, Y, X) whose percentiles in each channel are 0 and 1, as by the format's scale_range.

    >>> contract = Contract("example", "grey", 30.0, 30.0, False, "", "", percentiles=(0.0, 100.0))
    >>> normalised(np.array([[[[10, 20, 30]]]], np.float32), contract).round(2).tolist()
    [[[[0.0, 0.5, 1.0]]]]
    """
    low, high = np.percentile(image, contract.percentiles, axis=(2, 3), keepdims=True)
    return np.asarray((image - low) / (high - low + EPSILON), np.float32)


def description(
    contract: Contract, model: str, outputs: Mapping[str, Tensor], files: Mapping[str, bytes], opset: int
) -> dict[str, Any]:
    """Return the content of rdf.yaml; JSON is YAML.

    outputs: the test tensors by the names of the outputs. files: the other files of the package.
    """

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    summary = summary_of(contract)
    low, high = contract.percentiles
    scale = {"axes": list(SPACE), "min_percentile": low, "max_percentile": high, "eps": EPSILON}
    sides = [{"type": "space", "id": axis, "size": {"min": contract.tile, "step": contract.grain}} for axis in SPACE]
    image = {
        "id": "image",
        "description": f"cells of about {contract.mean_diameter:g} px",
        "axes": [{"type": "batch"}, _channels([f"channel{n}" for n in range(contract.inputs)]), *sides],
        "test_tensor": file("test-image.npy"),
        "data": {"type": "float32"},
        "preprocessing": [{"id": "scale_range", "kwargs": scale}],
    }
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": f"Flowmask {contract.name}",
        "description": summary.text,
        "authors": [{"name": "The Flowmask authors"}],
        "cite": [dict(zip(("text", "doi"), summary.cited, strict=True))],
        "license": "BSD-3-Clause",
        "documentation": "README.md",
        "tags": ["cells", "nuclei", "instance-segmentation", summary.tag, "onnx", "2d"],
        "version": __version__,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [image],
        "outputs": [_output(summary, name, values, file(f"test-{name}.npy")) for name, values in outputs.items()],
        "weights": {"onnx": {**file(model), "opset_version": opset}},
    }


def _output(summary: Summary, name: str, values: Tensor, test_tensor: dict[str, str]) -> dict[str, Any]:
    """Return the description of one output with a test tensor (B,), (B, K) or (B, K, Y, X)."""
    axes: list[dict[str, Any]] = [{"type": "batch"}]
    if values.ndim > 1:
        names = summary.channels.get(name, [f"{name}{n}" for n in range(values.shape[1])])
        axes.append(_channels(list(names)))
    if values.ndim > 2:
        axes += [{"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis}} for axis in SPACE]
    return {
        "id": name,
        "description": summary.outputs[name],
        "axes": axes,
        "test_tensor": test_tensor,
        "data": {"type": "float32"},
    }


def _channels(names: list[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": names}


def readme(contract: Contract) -> str:
    """Return the documentation of the package as Markdown."""
    summary = summary_of(contract)
    outputs = "\n".join(f"* `{name}`: {summary.outputs[name]}." for name in output_names(contract))
    return f"""# Flowmask {contract.name}

A network of the family `{contract.family}`. It was trained on: {contract.data}.

Licence of the weights: {contract.licence}.

Rescale the image so that its cells have a diameter of about {contract.mean_diameter:g} px. The outputs:

{outputs}

To turn the outputs into labels, {summary.to_labels}, as `flowmask segment IMAGE -o FOLDER --model {contract.name}`
does; the package is `flowmask` on PyPI.

## Validation

`models/README.md` in the repository of Flowmask has the scores of this network on held-out images of several
laboratories. On your own images, compare with labels drawn by hand: `flowmask score PRED TRUTH`.
"""


def _npy(values: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _opset(model: bytes) -> int:
    """Return the version of the standard operators in an ONNX file."""
    import onnx

    found = onnx.load_model_from_string(model).opset_import
    return next(int(entry.version) for entry in found if not entry.domain)


def main(argv: list[str] | None = None) -> int:
    """Pack the network of a command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.bioimageio", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a network, or an .onnx file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="zip file to write")
    args = parser.parse_args(argv)
    try:
        pack(find_network(args.model), args.output)
    except (FlowmaskError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
