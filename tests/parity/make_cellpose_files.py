"""Run by the cellpose environment's Python: writes checkpoints, size files and what cellpose computes with them.

    python make_cellpose_files.py FOLDER

gives, for each case, FOLDER/CASE (weights as cellpose saves them), for some CASE_size.npy, and CASE.npz with
`image` (2, C, 96, 160), `maps`, `style` and, with a size file, `diameter`.
"""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from cellpose import models, train
from cellpose.resnet_torch import CPnet


def make_network(channels: int, width: int, seed: int) -> CPnet:
    """An untrained network whose batch-norm statistics and offsets are not the initial ones."""
    torch.manual_seed(seed)
    network = CPnet([channels, *(width * 2**level for level in range(4))], 3, 3, mkldnn=False, diam_mean=30.0).train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
        for _ in range(8):
            network(torch.rand(2, channels, 64, 64))
        network.diam_labels.fill_(21.5)
    return network.eval()


def record(folder: Path, case: str, network: CPnet, channels: int = 2) -> None:
    """Write what ``network`` computes, and the diameter where the case has a size file."""
    image = np.random.default_rng(5).uniform(-0.2, 1.2, (2, channels, 96, 160)).astype(np.float32)
    with torch.no_grad():
        maps, style = (tensor.numpy() for tensor in network.eval()(torch.from_numpy(image))[:2])
    outputs = {"maps": maps, "style": style}
    size = folder / f"{case}_size.npy"
    if size.exists():
        model = models.SizeModel(SimpleNamespace(device=None, diam_mean=None, pretrained_model=case), None, str(size))
        outputs["diameter"] = model._size_estimation(style)
    np.savez(folder / f"{case}.npz", image=image, **outputs)


def discs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A (2, 128, 128) image of discs and its labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:128, :128]
    labels = np.zeros((128, 128), np.uint16)
    for label, (row, column) in enumerate(((32, 32), (32, 96), (96, 32), (96, 96)), start=1):
        labels[np.hypot(rows - row, columns - column) < rng.uniform(8, 24)] = label
    image = (labels > 0) + rng.normal(0, 0.1, (2, 128, 128))
    return image.astype(np.float32), labels


def tuned(folder: Path) -> None:
    """A network and its size model out of cellpose's own training functions."""
    network = make_network(2, 32, seed=3)
    images, labels = zip(*(discs(seed) for seed in range(4)), strict=True)
    common = {"train_data": list(images), "train_labels": list(labels), "min_train_masks": 1, "channel_axis": 0}
    path, *_ = train.train_seg(
        network, **common, n_epochs=2, batch_size=2, bsize=64, save_path=folder, model_name="tuned"
    )
    Path(path).rename(folder / "tuned")
    train.train_size(network, folder / "tuned", **common, batch_size=2, bsize=64, n_epochs=2)
    record(folder, "tuned", network)


def main(folder: Path) -> None:
    """Write every case."""
    logging.disable(logging.INFO)
    torch.set_num_threads(1)

    network = make_network(2, 32, seed=0)
    network.save_model(folder / "plain")
    record(folder, "plain", network)
    torch.save(torch.nn.DataParallel(network).state_dict(), folder / "parallel")
    record(folder, "parallel", network)

    # As the first checkpoints are: torch's older file format, no diameters inside. Half width.
    network = make_network(2, 16, seed=1)
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("diam_")}
    torch.save(state, folder / "early", _use_new_zipfile_serialization=False)
    record(folder, "early", network)

    denoiser = CPnet([2, 32, 64, 128, 256], 1, 3, mkldnn=False)
    denoiser.save_model(folder / "denoise")
    make_network(1, 16, seed=2).save_model(folder / "one-channel")
    network = make_network(3, 16, seed=4)
    network.save_model(folder / "three-channels")
    record(folder, "three-channels", network, channels=3)
    tuned(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
