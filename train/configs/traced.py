"""`bf16` trained on with the simulator's newer images: outlines traced from real masks, cells afloat out of focus.

A stage of `specks`: nothing ships from here.

Command:   python -m train.pool checkpoints/pool --each 160
           python -m train traced --data ../shared/data --pool checkpoints/pool --start checkpoints/bf16.pt
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      84 minutes, 1.1 s a step beside other work
Score:     mean F1 over the 4 held-out sources 0.642 with estimated, 0.644 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.bf16 import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="traced",
    steps=4500,
    cool_down=0.8,
    seed=9,
)
