"""`half_rgb` trained on, with brown-stained tissue (immunohistochemistry) added to the simulated images."""

from dataclasses import replace

from train.configs.half_rgb import CONFIG as FIRST

CONFIG = replace(
    FIRST, name="half_rgb_more", steps=500, rate=1e-3, warm_up=0.15, seed=1, data=FIRST.data.replace("660", "720")
)
