"""cyto, the network of full width: the images, channels and data of cyto-small at twice the width.

    python -m train cyto_small --data DATA --pool checkpoints/pool
    python -m train cyto --data DATA --pool checkpoints/pool

Starts from the stage `bf16` of `cyto_small`, whose checkpoint must be in the work folder. Four stages, six hours on one
core with avx512_bf16, no GPU; how each went is in the card of the network, models/README.md.
"""

from __future__ import annotations

from dataclasses import replace

from train.config import Checkpoint, Mean, Recipe, Stage, Widened
from train.data.augment import Augmentation
from train.recipes.held_out import HELD_OUT

AUGMENTATION = Augmentation(
    crop=224,
    scale=(0.6, 1.6),
    shuffle=0.5,
    drop=0.1,
    invert=0.3,
    by_channel=0.3,
    gain=(0.7, 1.3),
    offset=0.15,
    gamma=(0.6, 1.6),
    blur=0.25,
    noise=0.08,
    illumination=0.3,
    misfit=0.0,
    specks=0.0,
    jpeg=0.0,
    dim=0.0,
    holes=0.0,
    mix=0.0,
    empty=0.0,
    hue=0.0,
)
DAMAGED = replace(AUGMENTATION, misfit=0.15, specks=0.15, jpeg=0.2)
"""With hot pixels, crops whose percentiles miss the cells, and JPEG files."""
WIDENED = Widened(Checkpoint("cyto_small/bf16"))

FIRST = Stage(
    name="full",
    start=WIDENED,
    steps=1350,
    batch=8,
    rate=5e-4,  # at 1e-3, after a warm-up of 100 steps, the copies of a just widened network lost what they had learned
    encoder_rate=1.0,
    warm_up=0.05,
    cool_down=0.8,
    decay=1e-4,
    clip=None,
    average=0.998,
    norm_batches=0,
    bfloat16=True,
    seed=8,
    split=HELD_OUT,
    source_limit=80,
    shares={"simulated blood_smear": 0.8, "simulated dic": 0.8, "simulated filaments": 0.8},
    simulated_share=0.5,
    augmentation=AUGMENTATION,
)

RECIPE = Recipe(
    name="cyto",
    family="flow",
    architecture="cpnet",
    channels="rgb",
    widths=(32, 64, 128, 256),
    mean_diameter=30.0,
    clahe=None,
    pixel_size=None,
    options={},
    licence="BSD-3-Clause",
    data=(
        "578 real images: 2018 Data Science Bowl (BBBC038, CC0), Usiigaci (MIT), ColiCoords (MIT) and baby (MIT); "
        "and images from Flowmask's own simulator"
    ),
    stages=(
        FIRST,
        replace(
            FIRST,
            name="full_traced",
            start=Mean((WIDENED, Checkpoint("full"))),
            steps=2600,
            rate=7e-4,
            warm_up=0.03,
            seed=10,
        ),
        replace(
            FIRST,
            name="full_jpeg",
            start=Checkpoint("full_traced"),
            steps=2000,
            rate=1e-3,
            warm_up=0.03,
            seed=13,
            augmentation=DAMAGED,
        ),
        # This network ships.
        replace(
            FIRST,
            name="full_long",
            start=Mean((Checkpoint("full_traced"), Checkpoint("full_jpeg"))),
            steps=2000,
            rate=1e-3,
            warm_up=0.03,
            seed=14,
            augmentation=DAMAGED,
        ),
    ),
)
