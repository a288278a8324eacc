"""Runs in the cellpose environment: the package's own answers on the arrays of IN.npz, into OUT.npz."""

import sys

import numpy as np
import torch
from cellpose import dynamics, metrics, transforms, utils


def main() -> None:
    given = np.load(sys.argv[1])
    truth, guess = given["truth"].astype(int), given["guess"].astype(int)
    flows, _ = dynamics.masks_to_flows_cpu(truth)
    errors, _ = metrics.flow_error(truth, given["network_flow"], device=torch.device("cpu"))
    _, hits, false, missed = metrics.average_precision(truth, guess, threshold=np.linspace(0.5, 0.95, 10))
    filled = utils.fill_holes_and_remove_small_masks(given["holes"].astype(int), min_size=15)
    np.savez(
        sys.argv[2],
        flows=flows,
        errors=errors,
        counts=np.stack([hits, hits + missed, hits + false], axis=1),
        normalised=transforms.normalize99(given["image"].astype(np.float32), lower=1, upper=99),
        blend_weights=transforms._taper_mask(ly=224, lx=224),
        diameter=utils.diameters(truth)[0],
        filled=filled,
    )


if __name__ == "__main__":
    main()
