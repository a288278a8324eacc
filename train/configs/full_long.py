"""The mean of `full_traced` and `full_jpeg` trained on with twice the simulated images and the same changes.

Command:   python -m train.pool checkpoints/pool --each 320
           python -m train full_long --data ../shared/data --pool checkpoints/pool --start checkpoints/full_jpeg_mean.pt
           (its mother machines were those of `specks`, of seeds 0-159)
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      87 minutes, 2.6 s a step beside other work
Score:     mean F1 over the 4 held-out sources 0.652 with estimated, 0.639 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.full_jpeg import CONFIG as FIRST

CONFIG = replace(FIRST, name="full_long", seed=14)
