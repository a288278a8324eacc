"""`wide` trained on with cells of half to twice the size, so that a wrong diameter costs less.

Command:   python -m train wider --data ../shared/data --pool checkpoints/pool --start checkpoints/wide.pt
"""

from dataclasses import replace

from train.augment import Augmentation
from train.configs.wide import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="wider",
    steps=1300,
    rate=1e-3,
    warm_up=0.02,
    cool_down=0.6,
    seed=4,
    shares={f"simulated {modality}": 0.8 for modality in ("blood_smear", "dic", "filaments")},
    augmentation=Augmentation(scale=(0.5, 2.0)),
)
