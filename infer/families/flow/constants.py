"""The numbers of the flow family that several of its files share."""

from __future__ import annotations

import math

FLOW_SCALE = 5
"""Networks give flows of length 5 where the field has length 1 (Stringer et al. 2021)."""
STEPS = 200
LONGEST = 1.2
"""Network pixels per step along each axis, at most: no network is trained for longer flows."""
REACH = math.ceil(STEPS * LONGEST) + 1
"""Network rows above and below its first pixel that a path can see."""
PEAK = 2
GROWTH = 5
"""A seed is the highest pixel within `PEAK` pixels and grows `GROWTH` times by its 3 x 3 neighbourhood."""
HALO = 3 * (REACH + GROWTH) + PEAK + 2
"""Network rows above and below a block that can change its labels; `flowmask.families.flow.block` says why."""
