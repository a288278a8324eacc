"""The labels of one image in pieces: whoever labels them, and whatever is lost, labels and table are those of one."""

import threading
from functools import partial
from itertools import count

import numpy as np
import pytest

import flowmask
from flowmask.errors import OutputError
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.pipeline import label_maps
from flowmask.sharing.labels import FOLDER, LabelPieces, compute_labels, label_shared
from flowmask.sharing.pieces import DONE, FREE, discard_pieces
from tests.families.flow.test_block import same_tables, smooth_maps
from tests.reference.plans import BORDERED, SEMANTIC, plan_of

pytestmark = pytest.mark.slow
ORIGIN = {"image": "a"}


def flow():
    options = flowmask.Segmentation(flow_threshold=1.9, min_size=20)
    return smooth_maps((2300, 40), 5, 4.0), plan_of((2300, 40), (1800, 31), options)


def semantic():
    maps = smooth_maps((1500, 60), 2)[:1]
    return maps, plan_of((1500, 60), (1300, 71), flowmask.Segmentation(min_size=12), SEMANTIC)


def bordered():
    maps = smooth_maps((1500, 60), 4, 2.0)
    maps = np.exp(maps) / np.exp(maps).sum(axis=0)
    return maps, plan_of((1500, 60), (1300, 71), flowmask.Segmentation(min_size=12), BORDERED)


class Case:
    """Maps, their plan, and the labels and the table of one process."""

    def __init__(self, make):
        self.maps, self.plan = make()
        cells = CellTableBuilder()
        self.labels = np.concatenate(list(label_maps(iter([self.maps]), self.plan, cells)))
        self.table = cells.table()
        assert len(self.table) > 40
        assert self.table.too_small > 0

    def maps_from(self, row, rows=100):
        return (self.maps[:, top : top + rows] for top in range(row, self.maps.shape[1], rows))

    def pieces(self, folder, **more):
        return LabelPieces(folder, ORIGIN, self.plan, **more)


@pytest.fixture(scope="module", params=[flow, semantic, bordered])
def case(request):
    return Case(request.param)


@pytest.fixture(params=[64, 200, 555])
def height(request, monkeypatch):
    monkeypatch.setattr("flowmask.sharing.labels.HEIGHT", request.param)
    return request.param


def never():
    return False


def gathered(case, pieces, maps=None, stopped=never):
    cells = CellTableBuilder()
    maps = case.maps_from(0) if maps is None else maps
    labels = np.concatenate(list(label_shared(maps, pieces, case.maps_from, cells, stopped)))
    return labels, cells.table()


def same(case, pieces, **more):
    labels, table = gathered(case, pieces, **more)
    np.testing.assert_array_equal(labels, case.labels)
    same_tables(table, case.table)


def test_an_image_that_is_never_shared(case, height, tmp_path):
    same(case, case.pieces(tmp_path))
    assert [*tmp_path.iterdir()] == []


def test_the_reader_finds_pieces_of_others(case, height, tmp_path):
    """Three helpers labelled a part each, with maps that came in other parts; two of them were stopped."""
    pieces = case.pieces(tmp_path)
    pieces.begin()
    asked = count()
    for first, calls in ((len(pieces) // 2, 1), (len(pieces) - 1, 99), (1, 2)):
        stopped = partial(lambda begun, calls: next(asked) - begun > 2 * calls, next(asked), calls)
        compute_labels(case.pieces(tmp_path, make=False), partial(case.maps_from, rows=77), first, stopped)
    assert len(set(pieces.states(0))) == 2
    same(case, pieces)
    assert pieces.states(0) == [DONE] * len(pieces)


def test_an_image_that_is_shared_on_the_way(case, height, tmp_path):
    """Others begin when the reader has come to the middle; all labels below it are theirs."""
    pieces, first = case.pieces(tmp_path), []

    def maps():
        for number, part in enumerate(case.maps_from(0)):
            if number == 8:
                pieces.begin()
                first.append(pieces.first_without(800))
                compute_labels(case.pieces(tmp_path, make=False), case.maps_from, first[0], never)
            yield part

    same(case, pieces, maps=maps())
    assert pieces.states(0)[0] == FREE  # it is not in the folder
    assert set(pieces.states(first[0])) <= {DONE}


def test_helpers_and_the_reader_at_once(case, height, tmp_path):
    pieces = case.pieces(tmp_path)
    pieces.begin()
    helpers = [
        threading.Thread(target=compute_labels, args=(case.pieces(tmp_path, make=False), case.maps_from, 0, never))
        for _ in range(2)
    ]
    for helper in helpers:
        helper.start()
    same(case, pieces)
    for helper in helpers:
        helper.join()


@pytest.fixture
def made(case, tmp_path, monkeypatch):
    """All pieces of an image, on disk."""
    monkeypatch.setattr("flowmask.sharing.labels.HEIGHT", 200)
    pieces = case.pieces(tmp_path / "bands")
    (tmp_path / "bands").mkdir()
    pieces.begin()
    compute_labels(pieces, case.maps_from, 0, never)
    return pieces


def lost(path):
    path.unlink()


def torn(path):
    path.write_bytes(path.read_bytes()[:-5])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [lost, torn, flipped])
def test_a_piece_that_is_lost_or_damaged_is_labelled_again(case, made, spoil):
    for piece in (0, 2, len(made) - 1):
        spoil(made.path(piece))
    same(case, made)


def test_pieces_of_other_options_are_not_taken(case, made):
    same(case, LabelPieces(made.folder.parent, {"image": "a", "min_size": 3}, case.plan))


def test_a_piece_that_is_damaged_each_time_is_one_sentence(case, made, monkeypatch):
    monkeypatch.setattr(LabelPieces, "packed", lambda *_: iter(()))
    with pytest.raises(OutputError, match=r"000000.labels: the file is damaged again and again; check the disk"):
        gathered(case, made)


def test_a_helper_ends_when_the_image_is_finished(case, made):
    folder = made.folder.parent
    discard_pieces(folder)
    helper = case.pieces(folder, make=False)
    with pytest.raises(OutputError, match=r"\.part: "):
        compute_labels(helper, case.maps_from, 0, never)
    assert not folder.exists()


def test_the_run_may_end_while_the_reader_waits(case, made):
    class Ended(Exception):
        pass

    def stopped():
        raise Ended

    made.path(1).unlink()
    with pytest.raises(Ended):
        gathered(case, made, stopped=stopped)


def test_maps_that_end_early_leave_no_piece_that_is_not_complete(case, made):
    """A band may be lost while a helper reads it."""

    class Lost(Exception):
        pass

    def cut(row):
        for number, part in enumerate(case.maps_from(row)):
            if number == 11:
                raise Lost
            yield part

    discard_pieces(made.folder)
    made.begin()
    with pytest.raises(Lost):
        compute_labels(made, cut, 0, never)
    assert set(made.states(0)) <= {DONE, FREE}
    same(case, made)


def test_the_pieces_lie_in_the_folder_of_the_maps(case, tmp_path):
    assert case.pieces(tmp_path).folder == tmp_path / FOLDER
