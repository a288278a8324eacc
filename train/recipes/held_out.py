"""The images that no network that ships was trained on: training, benchmarks and `train.simulate.trace` share them."""

from __future__ import annotations

from train.config import Split

HELD_OUT = Split(
    held_out=(
        "yeastvision_phase_yeast_pos13/*",
        "bbbc039_fluo_nuclei_u2os/*",
        "baby_motherm_bacteria/*",
        "usiigaci_phase_T98G/set3[3-9]_*",
        "usiigaci_phase_T98G/set40_*",
    ),
    # Pap smears: the nuclei have labels and the visible cytoplasm has none.
    left_out=("dsb2018_brightfield_papsmear_nuclei/*",),
)
"""Two sources of which nothing was trained on, and single fields of two experiments."""

_OTHER_SLIDES = ("4193474b2f1c", "57bd029b19c1", "87ea72894f65", "55f98f43c152", "a0325cb7aa59", "f4b7c24baf69")
"""Stained images whose slides, judged by their colours, are not among those that are trained on."""

HELD_OUT_AT_FIRST = Split(
    held_out=(
        "yeastvision_phase_yeast_pos13/*",
        "bbbc039_fluo_nuclei_u2os/*",
        "dsb2018_fluo_nuclei_tissue/*",
        "baby_brightfield_yeast/prime95b_*",
        "baby_motherm_bacteria/*",
        "usiigaci_phase_T98G/set3[3-9]_*",
        "usiigaci_phase_T98G/set40_*",
        *(f"dsb2018_brightfield_stained_nuclei_rgb/{name}" for name in _OTHER_SLIDES),
    ),
    # Fluorescent E. coli: the same fields as the bright-field ones.
    left_out=("dsb2018_brightfield_papsmear_nuclei/*", "colicoords_fluo_ecoli/*"),
)
"""A superset of `HELD_OUT`: seven sources and experiments. The first stages of `cyto_small` were judged by them."""
