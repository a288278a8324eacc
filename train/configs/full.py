"""`bf16`, widened (`train.widen`) and trained on at full width, with 1,920 more simulated images.

A stage of `full_traced`, which began with the mean of its weights and those that it began with (`train.soup`); that
mean shipped before.

Command:   python -m train.widen checkpoints/bf16.pt -o checkpoints/widened.pt
           python -m train full --data ../shared/data --pool checkpoints/pool --start checkpoints/widened.pt
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      57 minutes, 2.5 s a step
Score:     of the mean: F1 over the 4 held-out sources 0.640 with estimated, 0.642 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.bf16 import CONFIG as FIRST
from train.network import FULL

CONFIG = replace(
    FIRST,
    name="full",
    widths=FULL,
    steps=1350,
    rate=5e-4,  # of weights just doubled: at 1e-3 and 100 steps the copies forgot what they knew
    warm_up=0.05,
    cool_down=0.8,
    seed=8,
)
