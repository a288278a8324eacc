"""`wide` trained on with cells of half to twice the size, so that a wrong diameter costs less.

A stage of `further`; the mean of its weights and those of `wide` (`train.soup`) shipped before those.

Command:   python -m train wider --data ../shared/data --pool checkpoints/pool --start checkpoints/wide.pt
           (it went on from the last weights of `wide` and not from their average)
Hardware:  one core of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Time:      87 minutes, 4 s a step
Score:     mean F1 over the 4 held-out sources 0.623 with estimated, 0.628 with true diameters (57 images,
           python -m bench.quality)
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
