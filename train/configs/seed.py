"""The protocol of the Cellpose entry to the challenge, for comparison: nothing ships from here.

LeCun-uniform weights, SGD with Nesterov momentum 0.9, weight decay 1e-5, rate 1e-3 after 10 epochs' rise and halved
every 10 epochs from the 210th of 300 on, batch 8, 224 x 224 px, green and blue, rotation, flips and scale 0.75 to
1.25, no other augmentation; the size model from 512 x 512 px windows, ten of each image.

Its 300 epochs of 578 images are 21,600 steps; `steps` are what two CPU cores can afford, and rise and halvings keep
their share of them. What else differs: images are drawn by source, as by every config here, and not one after the
other, those without cells too; flows and batch-norm are those of Cellpose 3 (the seed used 2, whose batch-norm moves
twice as fast); the size model's windows are turned by right angles and no larger than their image.

Command:   python -m train seed --data ../shared/data
"""

from dataclasses import replace

from train.augment import Augmentation
from train.configs.wide import CONFIG as FIRST
from train.network import FULL

CONFIG = replace(
    FIRST,
    name="seed",
    policy="green-blue",
    widths=FULL,
    steps=360,
    initialisation="lecun uniform",
    optimiser="sgd",
    course="halving",
    rate=1e-3,
    warm_up=10 / 300,
    cool_down=90 / 300,
    decay=1e-5,
    average=0.0,
    data="578 real images: 2018 Data Science Bowl (BBBC038, CC0), Usiigaci (MIT), ColiCoords (MIT) and baby (MIT)",
    augmentation=Augmentation(
        scale=(0.75, 1.25),
        scale_even_in_log=False,
        shuffle=0,
        drop=0,
        invert=0,
        by_channel=0,
        gain=(1, 1),
        offset=0,
        gamma=(1, 1),
        blur=0,
        noise=0,
        illumination=0,
    ),
    size_model="ridge",
)
