"""The arithmetic of the slide benchmark, and how it measures a process."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("resource", reason="the benchmark needs a Unix")
pytest.importorskip("psutil", reason="the benchmark needs psutil")

from bench.speed.slides import Run, figures, measure, slide, with_ratios
from flowmask.network.registry import default_network
from train.simulate.slide import count_cells

MODEL = default_network()


def test_start_up_and_the_idle_runtime_are_taken_off() -> None:
    idle = Run(2.0, 2.0, 200.0, 3)
    one = figures(1000, 990, Run(12.0, 20.0, 500.0, 950), idle)
    assert one["pixels_per_second"] == 100_000
    assert one["above_idle_mb"] == 300
    assert (one["placed"], one["found"]) == (990, 950)
    two = figures(2000, 4000, Run(52.0, 90.0, 650.0, 3900), idle)
    first, second = with_ratios([one, two])
    assert first["time_per_pixel_ratio"] == first["memory_ratio"] == 1
    assert second["time_per_pixel_ratio"] == 1.25
    assert second["memory_ratio"] == 1.5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
@pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is missing")
def test_the_peak_is_that_of_the_process_that_does_the_work(tmp_path: Path) -> None:
    path, _ = slide(tmp_path, 64, 0)
    run = measure(path, ["--diameter", "30", "--device", "cpu"])
    assert 100 < run.peak_mb < 2000
    assert run.cpu_seconds > 0.1
    with pytest.raises(RuntimeError, match="exit code"):
        measure(path, ["--diameter", "-1"])


@pytest.mark.slow
def test_a_slide_is_made_once(tmp_path: Path) -> None:
    path, cells = slide(tmp_path / "work", 90, 4)
    written = path.stat().st_mtime_ns
    assert slide(tmp_path / "work", 90, 4) == (path, cells) == (path, count_cells((90, 90), 4))
    assert path.stat().st_mtime_ns == written
