"""The mean of `full` (full_mean.pt of `make train`) trained on with 1,920 more images of the simulator.

Shipped by itself before; `full_long` began with the mean of its weights and those of `full_jpeg`.

Command:   python -m train.pool checkpoints/pool --first 160 --each 160
           python -m train full_traced --data ../shared/data --pool checkpoints/pool --start checkpoints/full_mean.pt
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      118 minutes, 2.7 s a step beside other work
Score:     mean F1 over the 4 held-out sources 0.643 with estimated, 0.644 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.full import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="full_traced",
    steps=2600,
    rate=7e-4,
    warm_up=0.03,
    seed=10,
)
