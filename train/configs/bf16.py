"""`further` trained on for three times as long, in bfloat16, with twice the simulated images.

A stage of `traced`, and what `full` was widened from; the average of its last weights shipped before those.

Command:   python -m train.pool checkpoints/pool --each 320
           python -m train bf16 --data ../shared/data --pool checkpoints/pool --start checkpoints/further.pt
Hardware:  one core of an AMD EPYC with avx512_bf16, no GPU; PyTorch 2.13, CPU
Time:      63 minutes, 0.95 s a step
Score:     mean F1 over the 4 held-out sources 0.645 with estimated, 0.638 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.further import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="bf16",
    steps=4000,
    cool_down=0.7,
    bfloat16=True,
    seed=7,
)
