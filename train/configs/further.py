"""`wider` trained on: the rate rises again and falls to 0, cells of 0.6 to 1.6 times the size.

A stage of `bf16`; the average of its last weights shipped before that.

Command:   python -m train further --data ../shared/data --pool checkpoints/pool --start checkpoints/wider.pt
           (begun with 1,500 steps to go; at the 600th, before the rate fell, they became 1,300)
Hardware:  one core of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Time:      110 minutes, 5 s a step
Score:     mean F1 over the 4 held-out sources 0.635 with estimated, 0.631 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.augment import Augmentation
from train.configs.wider import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="further",
    steps=1300,
    warm_up=0.03,
    seed=6,
    augmentation=Augmentation(scale=(0.6, 1.6)),
)
