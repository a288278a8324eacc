"""The maps of one image, shared between processes: whoever computes them, and whatever is lost, they are the same."""

import subprocess
import sys
import threading
import time
from itertools import count

import numpy as np
import pytest

import flowmask
from flowmask.errors import OutputError
from flowmask.images.image import ArrayImage
from flowmask.pipeline import plan_image, run_tiles
from flowmask.runs.maps import Sharing, map_rows
from flowmask.sharing.bands import Bands, compute, kept_rows, read_rows
from flowmask.sharing.pieces import BUSY, DONE, FREE, discard_pieces
from tests.test_pipeline import Lopsided

pytestmark = pytest.mark.slow
IMAGE = ArrayImage(np.random.default_rng(3).integers(0, 255, (1, 190, 7)).repeat(10, 1).repeat(10, 2).astype(np.uint8))
NETWORK = Lopsided()
PLAN = plan_image(IMAGE, NETWORK, flowmask.Segmentation(diameter=30), flowmask.Runtime(batch=2))
WHOLE = np.concatenate(list(run_tiles(IMAGE, NETWORK, PLAN)), axis=1)
ORIGIN = {"image": "a", "runtime": "b"}
BANDS = len(PLAN.rows.starts)


@pytest.fixture
def bands(tmp_path):
    return Bands(tmp_path / "bands", ORIGIN, PLAN)


def never():
    return False


def read(bands, row=0):
    return np.concatenate(list(read_rows(bands, IMAGE, NETWORK, row)), axis=1)


def test_bands_are_the_rows_of_the_image(bands):
    assert BANDS > 5
    assert (bands.edges[0], bands.edges[-1]) == (0, 1900)
    assert list(bands.edges) == sorted(set(bands.edges))
    assert [bands.at(row) for row in (0, bands.edges[1] - 1, bands.edges[1], 1899)] == [0, 0, 1, BANDS - 1]


@pytest.mark.parametrize("row", [0, 1, 700, 1899])
def test_the_reader_alone_has_the_maps_of_the_whole_bit_for_bit(bands, row):
    np.testing.assert_array_equal(read(bands, row), WHOLE[:, row:])


def test_a_reader_and_helpers_have_the_maps_of_the_whole_and_share_the_work(bands):
    """Three threads have files of their own, as processes have."""

    class Slow(Lopsided):
        tiles = 0

        def maps(self, tiles):
            time.sleep(0.1)
            self.tiles += len(tiles)
            return super().maps(tiles)

    alone, networks = Slow(), [Slow() for _ in range(3)]
    list(run_tiles(IMAGE, alone, PLAN))
    helpers = [threading.Thread(target=compute, args=(bands, IMAGE, network, 0, never)) for network in networks[1:]]
    for helper in helpers:
        helper.start()
    found = np.concatenate(list(read_rows(bands, IMAGE, networks[0], 0)), axis=1)
    for helper in helpers:
        helper.join()
    np.testing.assert_array_equal(found, WHOLE)
    assert bands.states(0) == [DONE] * BANDS
    assert sum(network.tiles > 0 for network in networks) > 1
    assert sum(network.tiles for network in networks) <= 2.5 * alone.tiles  # a new place costs a row of tiles


def test_one_process_goes_on_without_computing_a_tile_twice(bands):
    seen = []

    class Seen(Lopsided):
        def maps(self, tiles):
            seen.append(len(tiles))
            return super().maps(tiles)

    compute(bands, IMAGE, Seen(), 0, never)
    assert sum(seen) == len(PLAN.rows.starts) * len(PLAN.columns.starts)


HOLDER = """
import sys, time
from flowmask.records import RecordFile
with RecordFile(__import__("pathlib").Path(sys.argv[1]), {}) as file:
    file.begin()
    print("open", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def hold(bands):
    """Let another process compute a band, until it is killed."""
    started = []

    def start(band):
        bands.folder.mkdir(exist_ok=True)
        words = [sys.executable, "-c", HOLDER, bands.folder / f"{band:06}.{len(started)}.part"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "open\n"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_helper_starts_where_nobody_comes(bands, hold):
    assert bands.start(0) == 0
    hold(0)
    assert bands.states(0) == [BUSY] + [FREE] * (BANDS - 1)
    assert bands.start(0) == 1 + (BANDS - 1) // 2  # the process of band 0 comes down
    bands.path(1).touch()
    assert bands.start(0) == 2  # band 1 is done, and nobody comes
    for band in range(2, BANDS):
        bands.path(band).touch()
    assert bands.start(0) is None


def test_a_band_that_another_process_computes_is_left_to_it(bands, hold):
    hold(3)
    compute(bands, IMAGE, NETWORK, 0, never)
    assert bands.states(0) == [DONE] * 3 + [BUSY] + [DONE] * (BANDS - 4)


def test_a_killed_process_frees_its_band(bands, hold):
    holder = hold(3)
    found = []
    reader = threading.Thread(target=lambda: found.append(read(bands)))
    reader.start()
    while bands.states(0).count(DONE) < BANDS - 1:
        time.sleep(0.01)
    assert not found
    holder.kill()
    reader.join()
    np.testing.assert_array_equal(found[0], WHOLE)


def test_a_band_that_does_not_grow_is_taken_over(bands, hold, monkeypatch):
    monkeypatch.setattr("flowmask.sharing.pieces.PATIENCE", 0.3)
    hold(3)
    np.testing.assert_array_equal(read(bands), WHOLE)


def test_without_locks_the_maps_are_the_same(bands, hold, monkeypatch):
    monkeypatch.setattr("flowmask.sharing.pieces.lock", lambda file: True)
    hold(3)
    np.testing.assert_array_equal(read(bands), WHOLE)


def lost(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def torn(path):
    path.write_bytes(path.read_bytes()[:-5])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [lost, emptied, torn, flipped])
def test_a_file_that_is_lost_or_damaged_is_computed_again(bands, spoil):
    compute(bands, IMAGE, NETWORK, 0, never)
    for band in (0, 2, BANDS - 1):
        spoil(bands.path(band))
    np.testing.assert_array_equal(read(bands), WHOLE)


def test_the_folder_may_be_lost_while_it_is_read(bands):
    parts = read_rows(bands, IMAGE, NETWORK, 0)
    first = next(parts)
    discard_pieces(bands.folder)
    np.testing.assert_array_equal(np.concatenate([first, *parts], axis=1), WHOLE)


def test_a_helper_that_labels_reads_what_is_there(bands):
    compute(bands, IMAGE, NETWORK, 0, never)
    for row in (0, 1, 700, 1899):
        np.testing.assert_array_equal(np.concatenate(list(kept_rows(bands, row)), axis=1), WHOLE[:, row:])
    torn(bands.path(BANDS - 1))
    with pytest.raises(OutputError, match=r"\.maps: the file is lost or damaged"):
        list(kept_rows(bands, 700))


def test_several_read_a_band_at_once(bands):
    """A process that labels a block reads the maps of a halo, which others read too."""
    compute(bands, IMAGE, NETWORK, 0, never)
    reading = bands.parts(1)
    next(reading)
    np.testing.assert_array_equal(read(bands), WHOLE)


def test_the_image_may_be_finished_by_another_process_meanwhile(bands, monkeypatch):
    compute(bands, IMAGE, NETWORK, 0, never)
    parts = bands.parts

    def late(band):
        if band == 1:
            monkeypatch.undo()
            discard_pieces(bands.folder)
        return parts(band)

    monkeypatch.setattr(bands, "parts", late)
    np.testing.assert_array_equal(read(bands), WHOLE)


def test_what_cannot_be_removed_is_a_warning(bands, monkeypatch, caplog):
    compute(bands, IMAGE, NETWORK, 0, never)

    def refused(path):
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr("flowmask.sharing.pieces.shutil.rmtree", refused)
    discard_pieces(bands.folder)
    assert "bands.old: it cannot be removed (Directory not empty); remove it when no run uses it" in caplog.text


def test_files_that_are_damaged_each_time_are_one_sentence(bands, monkeypatch):
    monkeypatch.setattr(Bands, "parts", lambda *_: iter(()))
    with pytest.raises(OutputError, match=r"000000.maps: the file is damaged again and again; check the "):
        read(bands)


def test_bands_of_other_maps_are_not_taken(bands, tmp_path):
    compute(Bands(bands.folder, {**ORIGIN, "image": "b"}, PLAN), IMAGE, ZERO, 0, never)
    np.testing.assert_array_equal(read(bands), WHOLE)


class _Zero(Lopsided):
    def maps(self, tiles):
        return np.zeros((len(tiles), 3, *tiles.shape[2:]), np.float32)


ZERO = _Zero()


def test_a_helper_ends_when_the_image_is_finished(bands):
    helper = Bands(bands.folder, ORIGIN, PLAN, make=False)
    with pytest.raises(OutputError, match=r"\.part: the cached maps cannot be read or written"):
        compute(helper, IMAGE, NETWORK, 0, never)
    assert not bands.begun()


@pytest.mark.parametrize("calls", [0, 1, 5, 12])
def test_a_helper_that_is_stopped_leaves_no_band_that_is_not_complete(bands, calls):
    numbers = count()
    compute(bands, IMAGE, NETWORK, 0, lambda: next(numbers) >= calls)
    assert sum(path.suffix == ".maps" for path in bands.folder.glob("*")) < BANDS
    np.testing.assert_array_equal(read(bands), WHOLE)


def test_an_error_of_the_network_reaches_the_reader(bands):
    class Broken(Lopsided):
        def maps(self, tiles):
            return np.full((len(tiles), 3, *tiles.shape[2:]), np.nan, np.float32)

    with pytest.raises(flowmask.RunError, match="NaN"):
        list(read_rows(bands, IMAGE, Broken(), 0))


def test_a_reader_that_is_closed_computes_no_more(bands):
    parts = read_rows(bands, IMAGE, NETWORK, 0)
    next(parts)
    before = threading.active_count()
    parts.close()
    assert threading.active_count() < before


def test_the_folder_is_there_when_others_are_told(tmp_path):
    """Without it, a process that is ready at once takes the image for finished and helps no more."""
    bands = Bands(tmp_path / "bands", ORIGIN, PLAN)
    reports = []

    def progress(_, share):
        reports.extend([bands.begun()] if share else [])
        return True

    rows = map_rows(IMAGE, NETWORK, PLAN, progress, None, Sharing(bands, least=1))
    np.testing.assert_array_equal(np.concatenate([*rows], axis=1), WHOLE)
    assert reports == [True]
