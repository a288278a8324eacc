"""`half_rgb` trained on, with brown-stained tissue (immunohistochemistry) added to the simulated images.

Command:   python -m train.pool checkpoints/pool --each 60   (12 modalities)
           python -m train half_rgb_more --data ../shared/data --pool checkpoints/pool --start checkpoints/half_rgb.pt
Hardware:  2 cores of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Time:      26 minutes, 3.1 s a step, after the 63 minutes of half_rgb
Score:     mean F1 over the 7 held-out sources 0.633 with estimated, 0.653 with true diameters (95 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.half_rgb import CONFIG as FIRST

CONFIG = replace(FIRST, name="half_rgb_more", steps=500, rate=1e-3, warm_up=0.15, seed=1)
