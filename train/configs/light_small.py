"""The light network from ImageNet's weights, first with crops of 160 px, of which a step takes half the time.

Command:   see OUT/recipe.md
"""

from train.augment import Augmentation
from train.config import Config

SINGLE = ("brightfield_neuron_pfc", "phase_smoothmuscle_rabbit_bubil")
"""Sources of one cell an image."""

CONFIG = Config(
    name="light_small",
    policy="rgb",
    widths=(),
    light=True,
    initialisation="imagenet",
    steps=2000,
    rate=2e-3,
    warm_up=0.08,
    cool_down=0.0,
    decay=1e-2,
    clip=2.0,
    sized=False,
    seed=31,
    licence="BSD-3-Clause; encoder begun from EfficientNet-Lite0 (Apache-2.0)",
    data=(
        "ImageNet (encoder); real images: 2018 Data Science Bowl (BBBC038, CC0), Usiigaci, ColiCoords, baby, Omnipose, "
        "DeLTA, S-BIAD634 and others (MIT, CC0, CC-BY-3.0, BSD); and images from Flowmask's own simulator"
    ),
    held_out=(
        "yeastvision_phase_yeast_pos13/*",
        "bbbc039_fluo_nuclei_u2os/*",
        "baby_motherm_bacteria/*",
        "usiigaci_phase_T98G/set3[3-9]_*",
        "usiigaci_phase_T98G/set40_*",
        # Of the new sources, three as a whole; of the others whole experiments where there are several.
        "phase_fibroblast_bubil/*",
        "fluo_ecoli_dense_tractatus/*",
        "fluo_cellwalls_ovule_plantseg/*",
        "fluo_nuclei_tissue_nachtflug6/*",
        "dic_cho_bbbc030/cho49",
        "dic_cho_bbbc030/cho5?",
        "brightfield_neuron_pfc/pfc_09?",
        "brightfield_neuron_pfc/pfc_1??",
        "phase_smoothmuscle_rabbit_bubil/Chian2_*",
        "phase_bacteria_omnipose/ec_5I*",
        "phase_bacteria_omnipose/Sample000193",
        "motherm_ecoli_delta/pos2_*",
        "fluo_membrane_mdck_zo1_jahn/MDCK_wt_*",
        "multiplex_cells_codex_murphy/R001_X004*",
        "fluo_nuclei_ganglioneuroblastoma_sbiad634/ganglioneuroblastoma4_*",
        "fluo_nuclei_ovule_gonuclear/n1135_z85",
    ),
    left_out=("dsb2018_brightfield_papsmear_nuclei/*",),
    shares={f"simulated {modality}": 0.8 for modality in ("blood_smear", "dic", "filaments", "mother_machine")}
    | {f"simulated {modality}": 0.7 for modality in ("stained_tissue", "phase", "dense_tissue")}
    | {source: 0.7 for source in SINGLE}
    | {"multiplex_cells_codex_murphy": 1.5, "phase_bacteria_omnipose": 1.5, "usiigaci_phase_T98G": 1.2}
    | {"dsb2018_brightfield_stained_nuclei_rgb": 1.2, "dsb2018_fluo_nuclei_tissue": 1.3},
    augmentation=Augmentation(
        crop=160,
        scale=(0.5, 2.0),
        gamma=(0.5, 1.8),
        drop=0.05,
        misfit=0.12,
        specks=0.1,
        jpeg=0.25,
        fill=True,
        dim=0.2,
        holes=0.3,
        mix=0.3,
        lone=0.15,
        tint=0.12,
    ),
)
