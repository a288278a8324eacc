"""half_rgb_more trained on with averaged weights, wider scales and colours, at a rate that does not fall.

A stage of `wide`: nothing ships from here.

Command:   python -m train.pool checkpoints/pool --each 160
           python -m train long --data ../shared/data --pool checkpoints/pool --start checkpoints/half_rgb_more.pt
Hardware:  2 cores of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Score:     F1 0.676 after 400 and 0.675 after 800 steps on three images of each held-out source (0.671 before)
"""

from dataclasses import replace

from train.configs.half_rgb import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="long",
    steps=800,
    rate=1e-3,
    warm_up=0.02,
    cool_down=0.0,
    seed=2,
)
