"""The half-width three-channel network from random weights.

Command:   python -m train.pool checkpoints/pool --each 60   (11 modalities; the same command now adds a twelfth,
           immunohistochemistry, so that it makes other weights than those which were trained on)
           python -m train half_rgb --data ../shared/data --pool checkpoints/pool
Hardware:  2 cores of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Time:      63 minutes, 2.9 s a step
Score:     mean F1 over 8 held-out sources 0.655 with estimated, 0.658 with true diameters (115 images,
           python -m bench.quality, before diameters were sought by flow length and before colicoords_fluo_ecoli,
           which shares its fields with a trained source, was left out)
"""

from train.config import Config
from train.network import HALF

OTHER_SLIDES = ("4193474b2f1c", "57bd029b19c1", "87ea72894f65", "55f98f43c152", "a0325cb7aa59", "f4b7c24baf69")
"""The stained images whose slides, by their colours, are not among those that are trained on."""

CONFIG = Config(
    name="half_rgb",
    policy="rgb",
    widths=HALF,
    steps=1300,
    licence="BSD-3-Clause",
    data=(
        "520 real images: 2018 Data Science Bowl (BBBC038, CC0), Usiigaci (MIT), ColiCoords (MIT) and baby (MIT); "
        "and images from Flowmask's own simulator"
    ),
    held_out=(
        "yeastvision_phase_yeast_pos13/*",
        "bbbc039_fluo_nuclei_u2os/*",
        "dsb2018_fluo_nuclei_tissue/*",
        "baby_brightfield_yeast/prime95b_*",
        "baby_motherm_bacteria/*",
        "usiigaci_phase_T98G/set3[3-9]_*",
        "usiigaci_phase_T98G/set40_*",
        *(f"dsb2018_brightfield_stained_nuclei_rgb/{name}" for name in OTHER_SLIDES),
    ),
    # Pap smears: the visible cytoplasm has no labels. Fluorescent E. coli: the same fields as the bright-field ones.
    left_out=("dsb2018_brightfield_papsmear_nuclei/*", "colicoords_fluo_ecoli/*"),
)
