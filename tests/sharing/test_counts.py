"""Histograms that several processes count in pieces have the sums of the whole image."""

import threading

import numpy as np
import pytest

from flowmask.errors import OutputError
from flowmask.images.image import ArrayImage
from flowmask.sharing.counts import CountPieces, CountShare, compute_counts, count_shared
from flowmask.sharing.pieces import DONE, FREE, discard_pieces
from flowmask.tiles.counts import count_values

INPUTS = ((0,), (0, 1), (1,))


@pytest.fixture(params=[np.uint8, np.uint16])
def image(request, monkeypatch):
    monkeypatch.setattr("flowmask.sharing.counts.PIXELS", 1)  # 256 rows a piece
    top = np.iinfo(request.param).max + 1
    return ArrayImage(np.random.default_rng(2).integers(0, top, (2, 1500, 20)).astype(request.param))


def expected(image):
    sums = [image.read(0, 0, 1500, 20)[list(sources)].sum(axis=0, dtype=int).ravel() for sources in INPUTS]
    counts = [np.bincount(each, minlength=2 * 256**image.dtype.itemsize) for each in sums]
    return np.stack(counts)


def never():
    return False


def share_of(folder, first=0):
    return CountShare(folder, {"image": "a"}, INPUTS, first)


def counted(image, folder, ask):
    return count_shared(image, INPUTS, folder, {"image": "a"}, ask)


def test_the_counts_are_those_of_numpy(image):
    np.testing.assert_array_equal(count_values(image, INPUTS), expected(image))
    parts = [count_values(image, INPUTS, *rows) for rows in ((0, 7), (7, 900), (900, 1500))]
    np.testing.assert_array_equal(sum(parts), expected(image))


@pytest.mark.parametrize("alone", [0, 2, 99])
def test_others_help_from_some_piece_on(image, tmp_path, alone):
    asked, shares = [], []

    def ask(share):
        asked.append(share)
        if share:
            shares.append(share)
            assert share.folder.is_dir()
            compute_counts(CountPieces(share, image, make=False), share.first + 1, never)
        return len(asked) > alone

    np.testing.assert_array_equal(counted(image, tmp_path / "counts", ask), expected(image))
    assert [share.first for share in shares] == [alone] * (alone < 6)


def test_two_at_once(image, tmp_path):
    folder = tmp_path / "counts"
    folder.mkdir()
    helper = threading.Thread(target=compute_counts, args=(CountPieces(share_of(folder), image), 0, never))
    helper.start()
    np.testing.assert_array_equal(counted(image, folder, lambda _: True), expected(image))
    helper.join()
    assert CountPieces(share_of(folder), image).states(0) == [DONE] * 6


def test_a_damaged_piece_and_one_of_another_image_are_counted_again(image, tmp_path):
    pieces = CountPieces(share_of(tmp_path), image)
    compute_counts(pieces, 0, never)
    data = bytearray(pieces.path(2).read_bytes())
    data[-9] ^= 1
    pieces.path(2).write_bytes(data)
    pieces.path(4).unlink()
    other = CountPieces(
        CountShare(tmp_path, {"image": "b"}, INPUTS, 0), ArrayImage(np.zeros_like(image.read(0, 0, 1500, 20)))
    )
    compute_counts(other, 4, never)
    assert other.states(0)[4] == DONE
    np.testing.assert_array_equal(counted(image, tmp_path, lambda _: True), expected(image))


def test_a_helper_ends_when_the_counting_is_over(image, tmp_path):
    helper = CountPieces(share_of(tmp_path / "counts"), image, make=False)
    with pytest.raises(OutputError):
        compute_counts(helper, 0, never)
    discard_pieces(tmp_path / "counts")
    assert helper.states(0) == [FREE] * 6
