"""A recipe to copy for a network of your own: one quick stage at a quarter of the full width.

1. Copy this file, for example to my_cells.py, and give the recipe a name.
2. Put your images into one folder per laboratory or experiment: SOURCE/NAME.png with SOURCE/NAME_label.png, where each
   cell has its own number and the background is 0 (train/data/readers.py lists the other layouts).
3. In ``split`` name the images to hold out for validation by patterns of source/name, for example
   ``Split(held_out=("my_lab/well_B*",), left_out=())``. Hold out whole experiments.
4. To continue from a network that ships instead of starting anew, write ``start=Checkpoint("models/small.pt")``,
   give the recipe the ``architecture`` and ``widths`` of that network (see small.py), and lower ``rate`` to 5e-4.
5. State licence and data: they go into the exported file.
6. Train and export:

    python -m train.simulate pool --each 80
    python -m train my_cells.py --data my_folder --pool pool --work checkpoints
    python -m export checkpoints/my_cells.pt -o my_cells.onnx

``--pool`` adds simulated images and may be left out. More stages, each starting from ``Checkpoint("NAME")`` of an
earlier one, may follow in ``stages``; cyto_small.py is an example. The values are explained in train/config.py and
train/data/augment.py.
"""

from __future__ import annotations

from train.config import Fresh, Recipe, Stage
from train.data.augment import Augmentation
from train.recipes.held_out import HELD_OUT_AT_FIRST

RECIPE = Recipe(
    name="template",
    family="flow",
    architecture="cpnet",
    channels="rgb",
    widths=(8, 16, 32, 64),
    mean_diameter=30.0,
    clahe=None,
    pixel_size=None,
    options={},
    licence="BSD-3-Clause",
    data="the images of the project's data folder that the split leaves for training",
    stages=(
        Stage(
            name="first",
            start=Fresh(),
            steps=400,
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
            augmentation=Augmentation(
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
            ),
        ),
    ),
)
