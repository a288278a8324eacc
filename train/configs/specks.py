"""`traced` trained on with hot pixels, crops of which the percentiles miss the cells, and bacteria in channels.

A stage of `jpeg`, and shipped before it.

Command:   python -m train.pool checkpoints/pool --each 160
           python -m train specks --data ../shared/data --pool checkpoints/pool --start checkpoints/traced.pt
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      40 minutes, 1.0 s a step
Score:     mean F1 over the 4 held-out sources 0.635 with estimated, 0.643 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.traced import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="specks",
    steps=2400,
    cool_down=0.8,
    seed=11,
    augmentation=replace(FIRST.augmentation, misfit=0.15, specks=0.15),
)
