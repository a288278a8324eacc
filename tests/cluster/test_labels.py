"""The labels and the percentiles of one large image over several workers: the files are those of one machine."""

import os
import signal

import pytest

import flowmask
from flowmask.sharing.labels import FOLDER
from tests.cluster.one_slide import OUTPUT, Run, local, same
from tests.conftest import needs_network
from tests.reference.later import later
from tests.reference.logits import write_network

distributed = later("distributed", "the extra `cluster` is not installed")
pytestmark = [needs_network, pytest.mark.slow, pytest.mark.usefixtures("share_small_images")]


@pytest.fixture(scope="module")
def cluster():
    with local(2, tile_time=0.02) as cluster:
        yield cluster


@pytest.fixture
def in_pieces(cluster, tmp_path):
    """Set the height of the pieces in all workers, also in those that start later."""
    from tests.cluster.slow import SlowLabels

    marks = tmp_path / "marks"
    marks.mkdir()

    def start(height):
        with distributed().Client(cluster, set_as_default=False) as client:
            client.register_plugin(SlowLabels(height, marks), "labels")
        return marks

    return start


def processes(marks):
    """The processes that left marks."""
    from tests.cluster.slow import processes

    return processes(marks)


@pytest.mark.parametrize("height", [97, 256, 1000])
def test_two_workers_label_one_image(images, alone, tmp_path, cluster, in_pieces, height):
    marks = in_pieces(height)
    run = Run(images, tmp_path / "out", cluster)
    assert run.end().status == "done"
    assert len(processes(marks)) == 2
    same(tmp_path / "out", alone)


def test_another_family(onnx, images, tmp_path, cluster, in_pieces):
    write_network(onnx, tmp_path / "logits.onnx")
    options = {"network": tmp_path / "logits.onnx", "min_size": 30}
    flowmask.segment_many([images], tmp_path / "alone", outputs=OUTPUT, diameter=26.0, **options)
    marks = in_pieces(200)
    run = Run(images, tmp_path / "out", cluster, **options)
    assert run.end().cells > 200
    assert len(processes(marks)) == 2
    same(tmp_path / "out", tmp_path / "alone")


@pytest.mark.parametrize("stage", ["maps", "segment"])
def test_a_worker_that_is_killed_while_it_labels_costs_nothing(images, alone, tmp_path, cluster, in_pieces, stage):
    marks = in_pieces(200)
    run = Run(images, tmp_path / "out", cluster)
    pieces = run.bands / FOLDER
    run.wait(lambda: len(processes(marks)) == 2 and len([*pieces.glob("*.part")]) == 2)
    os.kill(run.at(stage)[0], signal.SIGKILL)
    assert run.end().status == "done"
    assert len(processes(marks)) > 1
    same(tmp_path / "out", alone)


def test_two_workers_count_the_values_of_one_image(images, alone, tmp_path, cluster):
    from tests.cluster.slow import SlowCounts

    marks = tmp_path / "marks"
    marks.mkdir()
    with distributed().Client(cluster, set_as_default=False) as client:
        client.register_plugin(SlowCounts(marks), "counts")
    run = Run(images, tmp_path / "out", cluster)
    assert run.end().status == "done"
    assert len(processes(marks)) == 2
    assert len({path.name.split("-")[1] for path in marks.iterdir()}) == len([*marks.iterdir()])
    same(tmp_path / "out", alone)
