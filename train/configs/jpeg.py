"""`specks` trained on with crops kept in JPEG files.

Command:   python -m train.pool checkpoints/pool --first 160 --each 160
           python -m train jpeg --data ../shared/data --pool checkpoints/pool --start checkpoints/specks.pt
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
"""

from dataclasses import replace

from train.configs.specks import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="jpeg",
    steps=2000,
    seed=12,
    augmentation=replace(FIRST.augmentation, jpeg=0.2),
)
