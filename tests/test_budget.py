"""Memory is counted before work begins."""

import numpy as np
import pytest

import flowmask
from flowmask.budget import GPU_BATCH, GPU_NETWORK, GPU_TILE_BYTES, needed_memory, planned_batch
from flowmask.errors import SettingsError
from flowmask.families.flow import family as flow
from flowmask.families.semantic import family as semantic
from flowmask.network.gpu import LEAST
from flowmask.options import parse_memory
from flowmask.system.memory import available_memory
from flowmask.tiles.grid import tile_grid
from tests.conftest import MODEL, needs_network


@pytest.mark.parametrize(
    ("text", "amount"), [("4G", 4 * 2**30), ("800M", 800 * 2**20), ("2.5 GiB", int(2.5 * 2**30)), ("123", 123)]
)
def test_amounts(text, amount):
    assert parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "much", "-4G", "4X", "G"])
def test_what_is_no_amount(text):
    with pytest.raises(SettingsError, match="`memory=.*` is not an amount of memory"):
        parse_memory(text)
    with pytest.raises(SettingsError, match="`gpu_memory=.*` is not an amount of memory"):
        flowmask.Runtime(gpu_memory=text)


@pytest.mark.parametrize("family", [flow.FAMILY, semantic.FAMILY], ids=["flow", "semantic"])
def test_it_grows_with_the_width_and_not_with_the_height(family):
    one, wide, tall = (
        needed_memory(size, size, 224, 3, family.row_bytes(size, size))
        for size in ((4000, 4000), (4000, 8000), (8000, 4000))
    )
    assert tall == one
    assert one < wide < 2 * one


def test_a_gpu_that_is_taken_has_room_for_any_tile():
    side = max(tile_grid(length, 224).tile for length in range(1, 10_000))
    assert planned_batch(10**10, 0, (side, side), 3, 0, LEAST) >= 1


def test_the_batch_follows_the_budget():
    each = planned_batch(10**9, 0, (224, 224), 3, 1000)
    assert each > 5
    assert planned_batch(10**9, 0, (224, 224), 3, 3) == 3
    assert planned_batch(10**9, 0, (448, 224), 3, 1000) == each // 2
    with pytest.raises(SettingsError, match=r"needs about 1.1G of memory and the limit is 1.0G; give `memory='1.1G'`"):
        planned_batch(2**30, 2**30, (224, 224), 3, 8)


def test_one_tile_at_once_is_good_on_the_cpu_and_several_on_a_gpu():
    assert planned_batch(10**10, 0, (224, 224), 3, 0) == 1
    assert planned_batch(10**10, 0, (224, 224), 3, 0, 10**10) == GPU_BATCH
    assert planned_batch(10**10, 0, (224, 224), 3, 500, 10**11) == 500


def test_the_batch_follows_the_memory_of_the_gpu():
    room = 2**30
    fits = planned_batch(10**11, 0, (336, 336), 3, 500, room)
    assert GPU_NETWORK + fits * 336**2 * GPU_TILE_BYTES <= room < GPU_NETWORK + (fits + 1) * 336**2 * GPU_TILE_BYTES
    assert planned_batch(10**11, 0, (336, 336), 3, 2, room) == 2
    with pytest.raises(SettingsError, match=r"and one tile need about 1.4G of GPU memory and the limit is 1.2G"):
        planned_batch(10**11, 0, (336, 336), 3, 1, 2**30 // 5)


def test_tiles_on_a_gpu_count_little_in_the_hosts_memory():
    assert planned_batch(10**8, 0, (224, 224), 3, 16) < 4
    assert planned_batch(10**8, 0, (224, 224), 3, 16, 10**10) == 16
    with pytest.raises(SettingsError, match="give `memory="):
        planned_batch(10**6, 0, (224, 224), 3, 16, 10**10)


def test_there_is_memory():
    assert available_memory() > 2**20


@needs_network
def test_an_image_that_cannot_fit_is_refused_with_the_figure_that_would_do():
    with pytest.raises(SettingsError, match="the image needs about .*M of memory and the limit is"):
        flowmask.segment(np.zeros((50, 60), np.uint8), MODEL, runtime=flowmask.Runtime(memory="100M"), diameter=30)
