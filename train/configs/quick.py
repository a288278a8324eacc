"""`half_rgb` at a quarter of the full width, with which `bench.ablation --train` compares. Nothing ships from here."""

from dataclasses import replace

from train.configs.half_rgb import CONFIG as FIRST
from train.network import QUARTER

CONFIG = replace(FIRST, name="quick", widths=QUARTER, steps=400)
