"""Constants that several modules of the flow family use."""

from __future__ import annotations

import math

FLOW_SCALE = 5
"""The network's flow is 5 times the true flow, which has length 1 (Stringer et al. 2021)."""
STEPS = 200
"""Most Euler steps of a path (Stringer et al. 2021)."""
LONGEST = 1.2
"""Longest step of a path along each axis, in network pixels; networks are trained for flows of length 1."""
REACH = math.ceil(STEPS * LONGEST) + 1
"""Network rows above and below its start whose flow can change a path."""
HELD = 2 * REACH + 340
"""Network rows that the strip engine has in memory: the length of paths, the height of cells, and a reserve."""
PEAK = 2
"""A seed is the highest pixel of the sink histogram within this distance, in network pixels along each axis."""
GROWTH = 5
"""How many times a seed grows into its 3 x 3 neighbourhood; its basin extends this far in network pixels."""
HALO = 3 * (REACH + GROWTH) + PEAK + 2
"""Network rows above and below a block that can change its labels; derived in `flowmask.families.flow.block`."""
