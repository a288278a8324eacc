"""The layout of a detection in the maps of a network, and the constants of the decoder.

A network of this family detects cells in each tile. It writes a detection into the square of 8 x 8 pixels in which the
centre of its box lies. With 13 channels, a square has room for 832 numbers: those of one detection, or zeros.
"""

from __future__ import annotations

SQUARE = 8
"""Side of a square in network pixels: the stride of the finest level of the feature pyramid."""
CHANNELS = 13
"""Channels of the maps, enough for one detection in a square."""
MASK = 28
"""Rows and columns of a mask, whatever the size of its box."""
SCORE, CELL_SCORE, BOX, PIXELS = 0, 1, slice(2, 6), slice(6, 6 + MASK * MASK)
"""Numbers of a detection: score of the box; the same times the expected IoU of the mask; top, left, bottom and right of
the box in network pixels, from the top left of the square; the mask, probabilities row by row."""
LEAST_SCORE = 0.05
"""Least probability of a cell for a detection, as in FCOS."""
NMS_IOU = 0.6
"""Of two boxes with an IoU above this, the one of the lower score is dropped (NMS)."""
LARGEST = 384
"""Largest height and width of a box in network pixels; a tile has at most 336. Larger boxes are ignored."""
STRIP = 128
"""Image rows that are drawn at a time."""
