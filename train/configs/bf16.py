"""`further` trained on for three times as long, in bfloat16, with twice the simulated images.

Command:   python -m train.pool checkpoints/pool --each 320
           python -m train bf16 --data ../shared/data --pool checkpoints/pool --start checkpoints/further.pt
"""

from dataclasses import replace

from train.configs.further import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="bf16",
    data=FIRST.data.replace("1,920", "3,840"),
    steps=4000,
    cool_down=0.7,
    bfloat16=True,
    seed=7,
)
