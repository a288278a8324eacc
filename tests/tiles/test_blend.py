"""Blended tiles: what a network without context returns comes back unchanged, whatever the batch."""

import numpy as np
import pytest

from flowmask.images.image import ArrayImage
from flowmask.tiles.blend import blend_weights, finished_rows
from flowmask.tiles.grid import tile_grid
from flowmask.tiles.rescale import NormalisedView

PLAN = ((0,), (0,), (0,))
LEVEL = np.array([[0, 1]] * 3, np.float32)


def blended(shape, run, batch):
    pixels = np.random.default_rng(7).random((1, *shape)).astype(np.float32)
    view = NormalisedView(ArrayImage(pixels), PLAN, LEVEL, 1.0)
    rows, columns = (tile_grid(length, 64) for length in shape)
    parts = list(finished_rows(view, run, 3, rows, columns, 64, batch))
    tops = [top for top, _ in parts]
    assert tops == list(np.cumsum([0] + [part.shape[1] for _, part in parts])[:-1])
    return pixels, np.concatenate([part for _, part in parts], axis=1)


@pytest.mark.parametrize("shape", [(1, 1), (17, 300), (64, 64), (203, 131)])
def test_a_network_without_context_gives_back_the_image(shape):
    pixels, maps = blended(shape, lambda tiles: tiles, 4)
    np.testing.assert_allclose(maps, np.broadcast_to(pixels, (3, *shape)), rtol=1e-5)


def test_the_batch_does_not_change_a_bit():
    def darker_at_the_rim(tiles):
        return tiles * np.linspace(0, 1, tiles.shape[-1], dtype=np.float32)

    one, two, five = (blended((203, 131), darker_at_the_rim, batch)[1] for batch in (1, 2, 5))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, five)


def test_rows_are_the_weighted_means_that_numpy_gives_bit_for_bit():
    def darker_at_the_rim(tiles):
        return tiles * np.linspace(0, 1, tiles.shape[-1], dtype=np.float32)

    pixels, maps = blended((203, 131), darker_at_the_rim, 2)
    view = NormalisedView(ArrayImage(pixels), PLAN, LEVEL, 1.0)
    rows, columns = (tile_grid(length, 64) for length in (203, 131))
    weights = blend_weights(rows.tile, 64)[:, None], blend_weights(columns.tile, 64)
    inset = 64
    total = np.zeros((3, 203 + 2 * inset, 131 + 2 * inset), np.float32)
    down, across = np.zeros((203 + 2 * inset, 1), np.float32), np.zeros(131 + 2 * inset, np.float32)
    for left in columns.starts:
        across[inset + left : inset + left + columns.tile] += weights[1]
    for top in rows.starts:
        down[inset + top : inset + top + rows.tile] += weights[0]
        for left in columns.starts:
            tile = darker_at_the_rim(view.read(top, left, top + rows.tile, left + columns.tile)[None])[0]
            place = np.s_[:, inset + top : inset + top + rows.tile, inset + left : inset + left + columns.tile]
            total[place] += tile * (weights[0] * weights[1])
    inner = np.s_[inset:-inset]
    np.testing.assert_array_equal(maps, total[:, inner, inner] / (down[inner] * across[inner]))


LARGEST = pytest.param((203, 131), marks=pytest.mark.slow)


@pytest.mark.parametrize("shape", [(1, 1), (64, 20), (90, 70), (131, 80), LARGEST])
def test_rows_from_anywhere_on_are_those_of_the_whole(shape):
    pixels = np.random.default_rng(7).random((1, *shape)).astype(np.float32)
    view = NormalisedView(ArrayImage(pixels), PLAN, LEVEL, 1.0)
    rows, columns = (tile_grid(length, 64) for length in shape)
    ran = []

    def blurred(tiles):
        ran.append(len(tiles))
        return tiles * np.linspace(0.1, 1, tiles.shape[-2], dtype=np.float32)[:, None]

    whole = np.concatenate([part for _, part in finished_rows(view, blurred, 3, rows, columns, 64, 2)], axis=1)
    for done in range(shape[0] + 1):
        ran.clear()
        parts = list(finished_rows(view, blurred, 3, rows, columns, 64, 2, done))
        assert [top for top, _ in parts] == list(np.cumsum([done] + [part.shape[1] for _, part in parts])[:-1])
        np.testing.assert_array_equal(np.concatenate([whole[:, :done], *(part for _, part in parts)], axis=1), whole)
        touching = sum(top + rows.tile > done for top in rows.starts) if done < shape[0] else 0
        assert sum(ran) == touching * len(columns.starts)


def test_the_taper_is_the_references():
    weight = blend_weights(224, 224)
    assert weight[0] == pytest.approx(0.069, abs=1e-3)
    assert weight[112] > 0.999
    np.testing.assert_array_equal(weight, weight[::-1])
    np.testing.assert_allclose(blend_weights(100, 224), weight[62:162], rtol=1e-6)


@pytest.mark.parametrize(("batch", "share"), [(1, 0.5), (3, 0.7)])
def test_groups_of_tiles_of_one_value_go_through_the_network_once(batch, share):
    pixels = np.full((1, 700, 700), 0.7, np.float32)
    pixels[:, 300:340, 350:400] = np.random.default_rng(3).random((40, 50))
    view = NormalisedView(ArrayImage(pixels), PLAN, LEVEL, 1.0)
    rows, columns = (tile_grid(length, 64) for length in (700, 700))
    ran = []

    def blurred(tiles):
        ran.append(tiles)
        return tiles * np.linspace(0.1, 1, tiles.shape[-2], dtype=np.float32)[:, None]

    maps = np.concatenate([part for _, part in finished_rows(view, blurred, 3, rows, columns, 64, batch)], axis=1)
    assert [(tiles == tiles[0, 0, 0, 0]).all() for tiles in ran].count(True) <= 1
    assert sum(map(len, ran)) < share * len(rows.starts) * len(columns.starts)
    assert len(ran[0]) == max(map(len, ran))
    pixels += np.random.default_rng(4).normal(0, 1e-7, pixels.shape).astype(np.float32)
    noisy = np.concatenate([part for _, part in finished_rows(view, blurred, 3, rows, columns, 64, batch)], axis=1)
    np.testing.assert_allclose(maps, noisy, atol=1e-5)


@pytest.mark.parametrize("shape", [(20, 300), (203, 331)])
def test_a_record_comes_from_one_tile_bit_for_bit(shape):
    """The network numbers the tiles; each square has the number of the tile that owns it, in any range of rows."""
    numbers = []

    def number(tiles):
        new = len(numbers) + 1 + np.arange(len(tiles))
        numbers.extend(new)
        return 0.1 * new[:, None, None, None].astype(np.float32) * np.ones((1, 1, *tiles.shape[2:]), np.float32)

    pixels = np.random.default_rng(7).random((1, *shape)).astype(np.float32)
    view = NormalisedView(ArrayImage(pixels), PLAN, LEVEL, 1.0)
    rows, columns = (tile_grid(length, 64, 16, 8) for length in shape)
    parts = finished_rows(view, number, 1, rows, columns, 64, 2, record=8)
    maps = np.concatenate([part for _, part in parts], axis=1)[0]
    assert maps.shape == (rows.length, columns.length)
    expected = np.zeros(maps.shape, np.float32)
    values = iter(0.1 * np.arange(1, len(rows.starts) * len(columns.starts) + 1).astype(np.float32))
    for top, bottom in rows.cores(8):
        for left, right in columns.cores(8):
            expected[max(0, top) : bottom, max(0, left) : right] = next(values)
    np.testing.assert_array_equal(maps, expected)
