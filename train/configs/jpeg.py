"""`specks` trained on with crops kept in JPEG files.

Command:   python -m train.pool checkpoints/pool --first 160 --each 160
           python -m train jpeg --data ../shared/data --pool checkpoints/pool --start checkpoints/specks.pt
           (its mother machines were those of `specks`, of seeds 0-159)
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      44 minutes, 1.3 s a step beside other work
Score:     mean F1 over the 4 held-out sources 0.648 with estimated, 0.651 with true diameters (57 images,
           python -m bench.quality)
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
