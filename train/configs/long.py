"""half_rgb_more trained on with averaged weights, wider scales and colours."""

from dataclasses import replace

from train.configs.half_rgb import CONFIG as FIRST

CONFIG = replace(FIRST, name="long", steps=2000, rate=1e-3, warm_up=0.02, cool_down=0.5, seed=2, batch=8)
