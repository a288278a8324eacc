"""cyto-small, the second half of `large`: half width, three channels, cells and nuclei in any microscope.

    python -m train.simulate checkpoints/pool --each 320
    python -m train cyto_small --data DATA --pool checkpoints/pool

Fourteen stages, some fourteen hours on one or two cores without a GPU. How each stage went, with which images, on which
processor and with which score, is in the card of the network, models/README.md; in three places the weights that ship
took another course than this file, and the card says where.
"""

from __future__ import annotations

from dataclasses import replace

from train.config import Checkpoint, Fresh, Mean, Recipe, Stage
from train.data.augment import Augmentation
from train.recipes.held_out import HELD_OUT, HELD_OUT_AT_FIRST
from train.recipes.small import KINDS, SHARES_OF_KINDS, SHARES_OF_MORE_KINDS

AUGMENTATION = Augmentation(
    crop=224,
    scale=(0.65, 1.5),
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
WIDE_SCALES = replace(AUGMENTATION, scale=(0.5, 2.0))
SCALES = replace(AUGMENTATION, scale=(0.6, 1.6))
SPECKS = replace(SCALES, misfit=0.15, specks=0.15)
JPEG = replace(SPECKS, jpeg=0.2)
SHARES = {"simulated blood_smear": 0.8, "simulated dic": 0.8, "simulated filaments": 0.8}

FIRST = Stage(
    name="half_rgb",
    start=Fresh(),
    steps=1300,
    batch=8,
    rate=2e-3,
    encoder_rate=1.0,
    warm_up=0.1,
    cool_down=0.5,
    decay=1e-4,
    clip=None,
    average=0.998,
    norm_batches=0,
    bfloat16=False,
    seed=0,
    split=HELD_OUT_AT_FIRST,
    source_limit=80,
    shares={},
    simulated_share=0.5,
    augmentation=AUGMENTATION,
)
EARLY = replace(FIRST, rate=1e-3)
"""What the next two stages have in common."""
LATER = replace(FIRST, rate=1e-3, warm_up=0.03, cool_down=0.6, split=HELD_OUT, shares=SHARES, augmentation=SCALES)
"""What most stages from `wider` on have in common."""
OF_SMALL = replace(
    LATER,
    name="kinds",
    start=Checkpoint("jpeg_long"),
    steps=480,
    rate=6e-4,
    warm_up=0.05,
    cool_down=0.8,
    decay=1e-4,
    clip=2.0,
    average=0.99,
    seed=41,
    shares={**SHARES_OF_KINDS, "simulated flat": 0.7},
    augmentation=KINDS,
)

RECIPE = Recipe(
    name="cyto_small",
    family="flow",
    architecture="cpnet",
    channels="rgb",
    widths=(16, 32, 64, 128),
    mean_diameter=30.0,
    clahe=None,
    pixel_size=None,
    options={},
    licence="BSD-3-Clause",
    data=(
        "796 real images: 2018 Data Science Bowl (BBBC038, CC0), Usiigaci, ColiCoords, baby, "
        "Omnipose, DeLTA, Jahn, Murphy, PlantSeg, Nachtflug and Tractatus (MIT), BBBC030 (CC-BY-3.0), BU-BIL (BSD), "
        "S-BIAD634 and PFC neurons (CC0); and images from Flowmask's own simulator"
    ),
    stages=(
        FIRST,
        # Brown-stained tissue is added to the simulated images.
        replace(EARLY, name="half_rgb_more", start=Checkpoint("half_rgb"), steps=500, warm_up=0.15, seed=1),
        # The rate stays up to the end.
        replace(EARLY, name="long", start=Checkpoint("half_rgb_more"), steps=800, warm_up=0.02, cool_down=0.0, seed=2),
        # All sources that are not needed for validation are trained on; the rate falls to 0.
        replace(
            EARLY,
            name="wide",
            start=Checkpoint("long"),
            steps=500,
            warm_up=0.02,
            cool_down=0.9,
            seed=3,
            split=HELD_OUT,
        ),
        # Cells of half to twice the size, so that a wrong diameter costs less.
        replace(
            LATER,
            name="wider",
            start=Checkpoint("wide"),
            steps=1300,
            warm_up=0.02,
            seed=4,
            augmentation=WIDE_SCALES,
        ),
        # Cells of 0.6 to 1.6 times the size.
        replace(LATER, name="further", start=Checkpoint("wider"), steps=1300, seed=6),
        # Three times the steps in bfloat16. The network of `cyto` starts from this stage.
        replace(LATER, name="bf16", start=Checkpoint("further"), steps=4000, cool_down=0.7, bfloat16=True, seed=7),
        # Simulated images with outlines traced from real cells, and with floating cells out of focus.
        replace(LATER, name="traced", start=Checkpoint("bf16"), steps=4500, cool_down=0.8, bfloat16=True, seed=9),
        # Hot pixels, crops whose percentiles miss the cells, and simulated bacteria in channels.
        replace(
            LATER,
            name="specks",
            start=Checkpoint("traced"),
            steps=2400,
            cool_down=0.8,
            bfloat16=True,
            seed=11,
            augmentation=SPECKS,
        ),
        # Crops that were compressed as JPEG files.
        replace(
            LATER,
            name="jpeg",
            start=Checkpoint("specks"),
            steps=2000,
            cool_down=0.8,
            bfloat16=True,
            seed=12,
            augmentation=JPEG,
        ),
        # All simulated images at once, for longer.
        replace(
            LATER,
            name="jpeg_long",
            start=Checkpoint("jpeg"),
            steps=6000,
            cool_down=0.8,
            bfloat16=True,
            seed=15,
            augmentation=JPEG,
        ),
        # The sources and simulated images of the last stages of `small`.
        OF_SMALL,
        # Eight more kinds of simulated images.
        replace(
            OF_SMALL,
            name="more_kinds",
            start=Checkpoint("kinds"),
            steps=1400,
            rate=8e-4,
            cool_down=0.9,
            average=0.998,
            bfloat16=True,
            seed=81,
            shares=SHARES_OF_MORE_KINDS,
        ),
        # The mean of the two stages before generalises better than either. This network is in models/.
        replace(OF_SMALL, name="newest", start=Mean((Checkpoint("kinds"), Checkpoint("more_kinds"))), steps=0),
    ),
)
