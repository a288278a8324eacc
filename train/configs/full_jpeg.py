"""`full_traced` trained on with what `specks` and `jpeg` brought: hot pixels, missed percentiles, JPEG files.

The mean of its weights and those of `full_traced` (`train.soup`) shipped before; `full_long` began with it.

Command:   python -m train.pool checkpoints/pool --first 160 --each 160
           python -m train full_jpeg --data ../shared/data --pool checkpoints/pool --start checkpoints/full_traced.pt
           (its mother machines were those of `specks`, of seeds 0-159)
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      101 minutes, 3.0 s a step beside other work
Score:     mean F1 over the 4 held-out sources 0.636 with estimated, 0.639 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.full_traced import CONFIG as FIRST
from train.configs.jpeg import CONFIG as HALF

CONFIG = replace(
    FIRST,
    name="full_jpeg",
    steps=2000,
    rate=1e-3,
    seed=13,
    augmentation=HALF.augmentation,
)
