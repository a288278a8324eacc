"""One large image over several workers of a cluster: the files are those of one machine, whatever is killed or lost."""

import os
import resource
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

import flowmask
from flowmask.labels.paths import bands_path
from flowmask.runs.executor import ExecutorLost
from tests.cluster.one_slide import OUTPUT, SHAPE, Run, local, same
from tests.conftest import needs_network, write_nuclei
from tests.reference.later import later
from tests.reference.two_heads import write_cells, write_network

distributed = later("distributed", "the extra `cluster` is not installed")
pytestmark = [needs_network, pytest.mark.slow, pytest.mark.usefixtures("share_small_images")]


@pytest.fixture(scope="module")
def cluster():
    with local(3) as cluster:
        yield cluster


def test_the_workers_share_the_maps_and_the_files_are_those_of_one_machine(images, alone, tmp_path, cluster):
    run = Run(images, tmp_path, cluster)
    helpers = run.wait(lambda: run.at("maps"))
    assert set(helpers).isdisjoint(run.at("segment"))
    assert run.end().status == "done"
    same(tmp_path, alone)


def test_cells_and_nuclei_come_from_the_same_shared_maps(onnx, tmp_path, cluster):
    write_network(onnx, tmp_path / "both.onnx")
    write_cells(tmp_path / "slide.tif", (2000, 100))
    options = {"network": tmp_path / "both.onnx", "compartment": "both"}
    flowmask.segment_many([tmp_path / "slide.tif"], tmp_path / "alone", outputs=OUTPUT, diameter=26.0, **options)
    run = Run(tmp_path / "slide.tif", tmp_path / "out", cluster, **options)
    run.wait(lambda: run.at("maps") and run.done() > 2)
    assert [(one.frame, one.status) for one in run.outcomes()] == [(None, "done"), ("nuclear", "done")]
    same(tmp_path / "out", tmp_path / "alone")


@pytest.mark.parametrize("stage", ["maps", "segment"])
def test_a_worker_that_is_killed_costs_nothing(images, alone, tmp_path, cluster, stage):
    run = Run(images, tmp_path, cluster)
    run.wait(lambda: run.done() > 2)
    os.kill(run.wait(lambda: run.at(stage))[0], signal.SIGKILL)
    assert run.end().status == "done"
    same(tmp_path, alone)


def test_a_helper_without_memory_costs_nothing(images, alone, tmp_path, cluster):
    run = Run(images, tmp_path, cluster)
    run.wait(lambda: run.done() > 2)
    helper = run.wait(lambda: run.at("maps"))[0]
    size = int(Path(f"/proc/{helper}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(helper, resource.RLIMIT_AS, (size, size))
    try:
        assert run.end().status == "done"
    finally:
        with suppress(ProcessLookupError):  # it ended, and Dask started another one
            os.kill(helper, signal.SIGKILL)
    same(tmp_path, alone)


def test_scratch_files_may_be_lost(images, alone, tmp_path, cluster):
    run = Run(images, tmp_path, cluster)
    run.wait(lambda: run.done() > 2)
    max(run.bands.glob("*.maps")).unlink()
    run.wait(lambda: run.done() > 4)
    shutil.rmtree(run.bands, ignore_errors=True)
    assert run.end().status == "done"
    same(tmp_path, alone)


def test_resume_takes_over_what_workers_computed(images, alone, tmp_path, monkeypatch):
    """The run loses its scheduler, and one machine continues without a cluster."""
    with local(2) as cluster:
        run = Run(images, tmp_path, cluster, resume=True)
        run.wait(lambda: run.done() > 2)
    assert isinstance(run.end(), ExecutorLost)
    computed = {path: path.stat().st_ino for path in run.bands.glob("*.maps")}
    assert len(computed) > 2
    seen = {}

    def removed(folder):
        seen.update({path: path.stat().st_ino for path in folder.glob("*.maps")})
        shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr("flowmask.runs.maps.discard_pieces", removed)
    (outcome,) = flowmask.segment_many([images], tmp_path, resume=True, outputs=OUTPUT, diameter=26.0)
    assert outcome.status == "done"
    assert computed.items() <= seen.items()
    same(tmp_path, alone)


def test_a_scratch_folder_that_cannot_be_made_costs_the_image_alone(images, tmp_path, cluster):
    write_nuclei(tmp_path / "small.tif", (60, 60), 2)
    write_nuclei(tmp_path / "slide.tif", SHAPE, 1)
    out = tmp_path / "out"
    out.mkdir()
    bands_path(out / "slide_label.tiff").touch()  # a file where the folder belongs
    with distributed().Client(cluster, set_as_default=False) as client:
        slide, small = flowmask.segment_many([tmp_path], out, client=client, diameter=26.0)
    assert slide.reason.startswith(f"{tmp_path}/slide.tif: {out}/.slide_label.tiff.bands/")
    assert "the cached maps cannot be read or written (Not a directory)" in slide.reason
    assert small.status == "done"
