"""`light_small` trained on with crops of 224 px; the rate falls to 0.

Command:   see OUT/recipe.md
"""

from dataclasses import replace

from train.configs.light_small import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="light",
    steps=3000,
    warm_up=0.03,
    cool_down=0.7,
    sized=True,
    seed=32,
    augmentation=replace(FIRST.augmentation, crop=224),
)
