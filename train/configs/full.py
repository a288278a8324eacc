"""`wider`, widened (`train.widen`) and trained on at full width.

What ships is the mean of its weights and those that it began with (`train.soup`).

Command:   python -m train.widen checkpoints/wider.pt -o checkpoints/widened.pt
           python -m train full --data ../shared/data --pool checkpoints/pool --start checkpoints/widened.pt
Hardware:  one core of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Time:      57 minutes, 19 s a step
Score:     of the mean: F1 over the 4 held-out sources 0.625 with estimated, 0.629 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.augment import Augmentation
from train.configs.wider import CONFIG as FIRST
from train.network import FULL

CONFIG = replace(
    FIRST,
    name="full",
    widths=FULL,
    steps=180,
    rate=3e-4,  # at 1e-3 the copies forget what they know: after 100 steps the loss was a fifth higher
    warm_up=0.1,
    cool_down=0.9,
    seed=5,
    augmentation=Augmentation(scale=(0.6, 1.6)),
)
