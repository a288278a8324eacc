"""`jpeg` trained on with tiny cells: simulated ones of 7 to 13 px, and crops that had fewer pixels.

Command:   python -m train.pool checkpoints/pool --first 160 --each 160
           python -m train.pool checkpoints/pool --first 500 --each 60 --diameter 7 13 --size 192
           python -m train coarse --data ../shared/data --pool checkpoints/pool --start checkpoints/jpeg.pt
           (its mother machines of usual size were those of `specks`, of seeds 0-159)
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
"""

from dataclasses import replace

from train.configs.jpeg import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="coarse",
    seed=14,
    augmentation=replace(FIRST.augmentation, coarse=0.15),
)
