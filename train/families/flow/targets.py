"""The targets of flow networks: cell or not, and the flow, turned with the crop."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from flowmask.families.flow.targets import labels_to_flows
from train.data.augment import Array
from train.data.prepared import Prepared


def flow_field(labels: npt.NDArray[np.int32]) -> Array:
    """Return the flows (Y, X, 2) of an image as (dy, dx).

    >>> flow_field(np.array([[0, 1, 1, 1, 0]], np.int32))[0, :, 1]  # towards the centre of the cell
    array([ 0.,  1.,  0., -1.,  0.], dtype=float32)
    """
    return labels_to_flows(labels).transpose(1, 2, 0)


def turned_flows(flows: Array, matrix: Array, labels: npt.NDArray[np.int32]) -> Array:
    """Apply an affine map (2, 3) to flows (Y, X, 2) of an image; return those of a crop with these labels (S, S).

    The vectors are turned with the image, and have unit length inside cells and length 0 outside.

    >>> right = np.zeros((2, 2, 2), np.float32)
    >>> right[..., 1] = 1
    >>> mirror = np.array([[-1, 0, 1], [0, 1, 0]], np.float32)
    >>> turned_flows(right, mirror, np.array([[0, 1], [1, 1]], np.int32))[..., 1]  # mirrored, they point to the left
    array([[-0., -1.],
           [-1., -1.]], dtype=float32)
    """
    field = cv2.warpAffine(flows, matrix, labels.shape[::-1], flags=cv2.INTER_LINEAR)
    field = (field[..., ::-1] @ matrix[:, :2].T)[..., ::-1]
    field = field / (np.linalg.norm(field, axis=-1, keepdims=True) + 1e-20) * (labels > 0)[..., None]
    return np.asarray(field, np.float32)


def flow_target(labels: npt.NDArray[np.int32], image: Prepared, matrix: Array) -> Array:
    """Return the target (3, S, S) = (cell, dy, dx) of a crop: see `train.data.batches.TargetMaker`."""
    turned = turned_flows(image.field.astype(np.float32), matrix, labels)
    return np.stack([(labels > 0).astype(np.float32), turned[..., 0], turned[..., 1]])
