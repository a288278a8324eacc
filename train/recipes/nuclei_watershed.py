"""nuclei-watershed: a light PanopticNet for fluorescent nuclei, to be trained for some hours on one core.

    python -m train nuclei_watershed --data DATA
    python -m export checkpoints/nuclei_watershed.pt -o nuclei-watershed.onnx

It has the data, the split and the augmentation of `train.recipes.nuclei_semantic`, so that the two families can be
compared. Optimiser as in the papers: Adam with the rate 5e-4, gradients of at most 1e-3, two crops a step. Images keep
their own scale. The inner distance falls with r, as in the papers; ``"squared": 1`` is the one of their software.
"""

from __future__ import annotations

from train.config import Fresh, Recipe, Split, Stage
from train.data.augment import Augmentation

RECIPE = Recipe(
    name="nuclei_watershed",
    family="watershed",
    architecture="light",
    channels="rgb",
    widths=(32, 64),
    mean_diameter=None,
    clahe=None,
    pixel_size=None,
    options={"squared": 0, "beta": 1},
    licence="BSD-3-Clause",
    data="362 images of fluorescent nuclei: 2018 Data Science Bowl stage 1 (BBBC038, CC0)",
    stages=(
        Stage(
            name="first",
            start=Fresh(pretrained=True),
            steps=8000,
            batch=2,
            rate=5e-4,
            encoder_rate=1.0,
            warm_up=0.02,
            cool_down=0.5,
            decay=0.0,
            clip=1e-3,
            average=0.99,
            norm_batches=0,
            bfloat16=False,
            seed=0,
            split=Split(
                held_out=("bbbc039_fluo_nuclei_u2os/*", "fluo_nuclei_*/*"),
                left_out=(
                    "*brightfield*/*",
                    "*phase*/*",
                    "dic_*/*",
                    "*motherm*/*",
                    "*ecoli*/*",
                    "fluo_cellwalls*/*",
                    "fluo_membrane*/*",
                    "multiplex*/*",
                ),
            ),
            source_limit=80,
            shares={},
            simulated_share=0.0,
            augmentation=Augmentation(
                crop=192,
                scale=(0.6, 1.6),
                shuffle=0.0,
                drop=0.0,
                invert=0.0,
                by_channel=0.0,
                gain=(0.7, 1.3),
                offset=0.1,
                gamma=(0.6, 1.6),
                blur=0.25,
                noise=0.08,
                illumination=0.3,
                misfit=0.0,
                specks=0.05,
                jpeg=0.1,
                dim=0.0,
                holes=0.0,
                mix=0.0,
                empty=0.0,
                hue=0.0,
            ),
        ),
    ),
)
