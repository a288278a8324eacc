"""The network that ships, widened (`train.widen`) and trained on at full width.

Command:   python -m train.widen models/cyto-small.pt -o checkpoints/widened.pt
           python -m train full --data ../shared/data --pool checkpoints/pool --start checkpoints/widened.pt
Hardware:  one core of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
"""

from dataclasses import replace

from train.augment import Augmentation
from train.configs.wider import CONFIG as FIRST
from train.network import FULL

CONFIG = replace(
    FIRST,
    name="full",
    widths=FULL,
    steps=350,
    warm_up=0.05,
    cool_down=0.7,
    seed=5,
    augmentation=Augmentation(scale=(0.6, 1.6)),
)
