"""`jpeg` for longer, with all of the newer simulated images at once.

Command:   python -m train.pool checkpoints/pool --each 320
           python -m train jpeg_long --data ../shared/data --pool checkpoints/pool --start checkpoints/jpeg.pt
           (its mother machines were those of `specks`, of seeds 0-159)
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      90 minutes, 0.9 s a step
Score:     mean F1 over the 4 held-out sources 0.647 with estimated, 0.648 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.jpeg import CONFIG as FIRST

CONFIG = replace(FIRST, name="jpeg_long", steps=6000, seed=15)
