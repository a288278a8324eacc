"""nuclei-boxes: a light CenterMask for fluorescent nuclei, to be trained for about an hour on one core.

    python -m train nuclei_boxes --data DATA
    python -m export checkpoints/nuclei_boxes.pt -o nuclei-boxes.onnx

It has the data, the split and the augmentation of `train.recipes.nuclei_semantic`, so that families can be compared.
The backbone is VoVNet2 19-slim-depthwise with random weights. The published networks start with weights of ImageNet or
COCO and have 128 or 256 features in pyramid and heads; here they have 64. Images keep their own scale.
"""

from __future__ import annotations

from dataclasses import replace

from train.config import Fresh, Recipe
from train.recipes.nuclei_watershed import RECIPE as WATERSHED

RECIPE = Recipe(
    name="nuclei_boxes",
    family="boxes",
    architecture="vovnet19-slim-dw",
    channels="rgb",
    widths=(64, 64),
    mean_diameter=None,
    clahe=None,
    pixel_size=None,
    options={},
    licence="BSD-3-Clause",
    data=WATERSHED.data,
    stages=(
        replace(
            WATERSHED.stages[0],
            start=Fresh(),
            steps=3000,
            batch=2,
            rate=1e-3,
            encoder_rate=1.0,
            warm_up=0.05,
            cool_down=0.5,
            decay=1e-4,
            clip=10.0,
            average=0.99,
            norm_batches=0,
        ),
    ),
)
