"""How far a path through the flows can go: what no part of the engine need look beyond."""

from __future__ import annotations

import math

STEPS = 200
LONGEST = 1.2
"""Network pixels that a step may go along each axis: a longer flow is none that was trained for."""
REACH = math.ceil(STEPS * LONGEST) + 1
"""Network rows above and below its beginning that a path may come to see."""
