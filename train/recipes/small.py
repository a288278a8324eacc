"""small, the default network: light, three channels, cells and nuclei in any microscope.

    python -m train.simulate checkpoints/pool --each 160
    python -m train small --data DATA --pool checkpoints/pool

Eleven stages from an encoder pretrained on ImageNet. How each went is in the card of the network, models/README.md.
"""

from __future__ import annotations

from dataclasses import replace

from train.config import Checkpoint, Fresh, Mean, Recipe, Stage
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
    misfit=0.15,
    specks=0.15,
    jpeg=0.2,
    dim=0.0,
    holes=0.0,
    mix=0.0,
    empty=0.0,
    hue=0.0,
)
STAINS = replace(
    AUGMENTATION,
    scale=(0.5, 2.0),
    drop=0.05,
    gamma=(0.5, 1.8),
    misfit=0.12,
    specks=0.1,
    jpeg=0.25,
    dim=0.2,
    holes=0.3,
    mix=0.3,
    empty=0.12,
)
KINDS = replace(STAINS, jpeg=0.2, dim=0.15, holes=0.15, mix=0.2, empty=0.08, hue=0.12)
SHARES = {"simulated blood_smear": 0.8, "simulated dic": 0.8, "simulated filaments": 0.8}
SHARES_AT_LAST = {
    **SHARES,
    "simulated mother_machine": 0.8,
    "simulated stained_tissue": 0.7,
    "simulated phase": 0.7,
    "simulated dense_tissue": 0.7,
    # Images of one cell each.
    "brightfield_neuron_pfc": 0.7,
    "phase_smoothmuscle_rabbit_bubil": 0.7,
    "phase_fibroblast_bubil": 0.7,
    # Few images, each of many cells that no other source has.
    "multiplex_cells_codex_murphy": 1.5,
    "phase_bacteria_omnipose": 1.5,
    "usiigaci_phase_T98G": 1.2,
    "dsb2018_brightfield_stained_nuclei_rgb": 1.2,
    "dsb2018_fluo_nuclei_tissue": 1.3,
}
SHARES_OF_KINDS = {
    **SHARES_AT_LAST,
    "simulated slender_phase": 0.8,
    "simulated tissue_section": 0.8,
    "simulated phase": 0.5,
    "simulated stained_tissue": 0.5,
    "simulated dic": 0.5,
    "simulated algae": 0.4,
}
SHARES_OF_MORE_KINDS = {
    **SHARES_OF_KINDS,
    "simulated blood_smear": 0.4,
    "simulated filaments": 0.5,
    "simulated mother_machine": 0.6,
    "simulated stained_tissue": 0.4,
    "simulated phase": 0.4,
    "simulated dic": 0.4,
    "simulated algae": 0.3,
    "simulated flat": 0.4,
    "simulated branched_fluorescence": 0.6,
    "simulated branched_transmitted": 0.35,
    "simulated cytology_smear": 0.7,
    "simulated organoid": 0.7,
    "simulated mixed_sizes": 0.7,
    "simulated white_cells": 0.7,
}

FIRST = Stage(
    name="first",
    start=Fresh(pretrained=True),
    steps=2400,
    batch=8,
    rate=2e-3,
    encoder_rate=1 / 3,
    warm_up=0.08,
    cool_down=0.6,
    decay=1e-3,
    clip=2.0,
    average=0.998,
    norm_batches=0,
    bfloat16=False,
    seed=0,
    split=HELD_OUT,
    source_limit=80,
    shares=SHARES,
    simulated_share=0.5,
    augmentation=AUGMENTATION,
)
LATER = replace(FIRST, warm_up=0.05, cool_down=0.8, decay=1e-2)
LONGER = replace(
    LATER,
    name="longer",
    start=Checkpoint("flat"),
    steps=4200,
    rate=1e-3,
    warm_up=0.03,
    cool_down=0.9,
    average=0.999,
    seed=51,
    shares={**SHARES_OF_KINDS, "simulated flat": 0.5},
    augmentation=KINDS,
)
MORE_KINDS = replace(
    LONGER, name="more_kinds", start=Checkpoint("last"), steps=3600, seed=71, shares=SHARES_OF_MORE_KINDS
)

RECIPE = Recipe(
    name="small",
    family="flow",
    architecture="light",
    channels="rgb",
    widths=(16, 24, 48, 64, 96, 128),
    mean_diameter=30.0,
    clahe=None,
    pixel_size=None,
    options={},
    licence="BSD-3-Clause; the encoder's first weights: EfficientNet-Lite0, Apache-2.0",
    data=(
        "ImageNet (encoder); 796 real images: 2018 Data Science Bowl (BBBC038, CC0), Usiigaci, ColiCoords, baby, "
        "Omnipose, DeLTA, Jahn, Murphy, PlantSeg, Nachtflug and Tractatus (MIT), BBBC030 (CC-BY-3.0), BU-BIL (BSD), "
        "S-BIAD634 and PFC neurons (CC0); and images from Flowmask's own simulator"
    ),
    stages=(
        FIRST,
        # Cells of half to twice the size, so that a wrong diameter costs less.
        replace(
            FIRST,
            name="wider",
            start=Checkpoint("first"),
            steps=2600,
            seed=1,
            augmentation=replace(AUGMENTATION, scale=(0.5, 2.0)),
        ),
        # Other stains, dim cells beside bright ones, tissue with holes, channels without signal.
        replace(
            LATER,
            name="stains",
            start=Checkpoint("wider"),
            steps=2900,
            rate=4e-4,
            seed=21,
            shares=SHARES_AT_LAST,
            augmentation=STAINS,
        ),
        # Seven more kinds of simulated images, and grey images stored as JPEG pictures of one hue.
        replace(
            LATER,
            name="kinds",
            start=Mean((Checkpoint("wider"), Checkpoint("stains"))),
            steps=1700,
            rate=5e-4,
            seed=35,
            shares=SHARES_OF_KINDS,
            augmentation=KINDS,
        ),
        # Flat cells with sharp edges, which the last two stages had unlearned; their mean with the stages before
        # them is the start.
        replace(
            LATER,
            name="flat",
            start=Mean((Checkpoint("kinds"), Mean((Checkpoint("wider"), Checkpoint("stains"))))),
            steps=260,
            rate=4e-4,
            average=0.98,
            seed=36,
            shares={**SHARES_OF_KINDS, "simulated flat": 1.5},
            augmentation=KINDS,
        ),
        # Many more steps, with twice the simulated images.
        LONGER,
        # The mean with the stage before generalises better than either.
        replace(
            LATER,
            name="mean",
            start=Mean((Checkpoint("flat"), Checkpoint("longer"))),
            steps=0,
        ),
        # The same once more.
        replace(LONGER, name="further", start=Checkpoint("mean"), steps=4000, seed=61),
        replace(
            LATER,
            name="last",
            start=Mean((Checkpoint("mean"), Checkpoint("further"))),
            steps=0,
            norm_batches=200,
            seed=62,
            shares=LONGER.shares,
            augmentation=KINDS,
        ),
        # Eight more kinds of simulated images: branched cells, smears, organoids, two sizes, one cell alone.
        MORE_KINDS,
        replace(
            MORE_KINDS,
            name="newest",
            start=Mean((Checkpoint("last"), Checkpoint("more_kinds"))),
            steps=0,
            norm_batches=200,
            seed=72,
        ),
    ),
)
