"""`long` trained on with every source that a check can spare; the rate falls to 0.

A stage of `wider`: nothing ships from here.

Command:   python -m train wide --data ../shared/data --pool checkpoints/pool --start checkpoints/long.pt
Hardware:  one core of an AMD EPYC (AVX2), shared with other work, no GPU; PyTorch 2.13, CPU
Time:      42 minutes, 5 s a step
Score:     mean F1 over the 4 held-out sources 0.615 with estimated, 0.620 with true diameters (57 images,
           python -m bench.quality)
"""

from dataclasses import replace

from train.configs.long import CONFIG as FIRST

CONFIG = replace(
    FIRST,
    name="wide",
    steps=500,
    cool_down=0.9,
    seed=3,
    data=FIRST.data.replace("520", "578"),
    held_out=(
        "yeastvision_phase_yeast_pos13/*",
        "bbbc039_fluo_nuclei_u2os/*",
        "baby_motherm_bacteria/*",
        "usiigaci_phase_T98G/set3[3-9]_*",
        "usiigaci_phase_T98G/set40_*",
    ),
    left_out=("dsb2018_brightfield_papsmear_nuclei/*",),
)
