"""nuclei-semantic: a small U-Net for fluorescent nuclei, some minutes on one core.

    python -m train nuclei_semantic --data DATA
    python -m export checkpoints/nuclei_semantic.pt -o nuclei-semantic.onnx

It is trained on the fluorescent nuclei of the 2018 Data Science Bowl and judged on those of other laboratories. Images
keep their own scale. Between nuclei that touch, the foreground has a gap of two pixels, so that they are separate
components.
"""

from __future__ import annotations

from train.config import Fresh, Recipe, Split, Stage
from train.data.augment import Augmentation

RECIPE = Recipe(
    name="nuclei_semantic",
    family="semantic",
    architecture="unet",
    channels="rgb",
    widths=(16, 32, 64, 128),
    mean_diameter=None,
    clahe=None,
    pixel_size=None,
    options={"border": 1},
    licence="BSD-3-Clause",
    data="362 images of fluorescent nuclei: 2018 Data Science Bowl stage 1 (BBBC038, CC0)",
    stages=(
        Stage(
            name="first",
            start=Fresh(),
            steps=500,
            batch=8,
            rate=2e-3,
            encoder_rate=1.0,
            warm_up=0.1,
            cool_down=0.5,
            decay=1e-4,
            clip=None,
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
                crop=160,
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
