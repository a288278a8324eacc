"""`wider` trained on: the rate rises again and falls to 0, cells of 0.6 to 1.6 times the size.

Command:   python -m train further --data ../shared/data --pool checkpoints/pool --start checkpoints/wider.pt
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
