"""Runs in the cellpose environment: maps to labels with cellpose 3.1's own dynamics, on the CPU.

Reads JOB.json {maps, crop, output}: maps (3, Y, X) float32 in a .npy file. Writes output/labels.npy and
output/seconds.json (wall clock, CPU). A crop of ``crop`` rows and columns goes first, so that no time holds a first
call.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from cellpose import dynamics


def compute(maps: np.ndarray) -> np.ndarray:
    """Return the labels (Y, X), with the thresholds at their defaults, which are ours."""
    return dynamics.resize_and_compute_masks(
        maps[:2], maps[2], niter=200, cellprob_threshold=0.0, flow_threshold=0.4, min_size=15
    )


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    maps = np.load(job["maps"])
    compute(np.ascontiguousarray(maps[:, : job["crop"], : job["crop"]]))
    begun, begun_cpu = time.perf_counter(), time.process_time()
    labels = compute(maps)
    seconds = (time.perf_counter() - begun, time.process_time() - begun_cpu)
    np.save(Path(job["output"]) / "labels.npy", labels.astype(np.int32))
    (Path(job["output"]) / "seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
