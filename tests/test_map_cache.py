"""Kept maps: what is whole is taken over, what is torn, damaged or of another origin is not."""

import json
from dataclasses import fields

import numpy as np
import pytest

from flowmask.errors import OutputError
from flowmask.images.image import ArrayImage
from flowmask.labels.cell_table import CellTableBuilder
from flowmask.labels.paths import maps_path
from flowmask.labels.provenance import labels_origin, maps_origin
from flowmask.map_cache import MapCache, discard
from flowmask.options import Options, Output, Runtime, Segmentation
from flowmask.pipeline import label_maps, plan_image
from flowmask.runs.maps import Sharing, map_rows
from flowmask.sharing.bands import Bands
from train.simulate import simulate

ORIGIN = {"image": "a", "channels": [1, 2, 3], "diameter": None}
WIDTH = 11
PARTS = [np.random.default_rng(i).normal(size=(3, 4 + i, WIDTH)).astype(np.float32) for i in range(4)]


def write(path, parts=PARTS, diameter=1 / 3):
    """Write the parts and return the size of the file after the head and after each part."""
    with MapCache(path, ORIGIN) as cache:
        cache.begin(diameter)
        sizes = [path.stat().st_size]
        for part in parts:
            cache.append(part)
            sizes.append(path.stat().st_size)
    return sizes


def read(path, origin=ORIGIN):
    with MapCache(path, origin) as cache:
        return cache.diameter, list(cache.parts(WIDTH, 3))


def assert_same(parts, expected):
    assert len(parts) == len(expected)
    for part, other in zip(parts, expected, strict=True):
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, other)


def test_what_was_kept_comes_back(tmp_path):
    write(tmp_path / "maps")
    diameter, parts = read(tmp_path / "maps")
    assert diameter == 1 / 3
    assert_same(parts, PARTS)


def test_a_file_torn_anywhere_keeps_what_is_whole_and_goes_on(tmp_path):
    path = tmp_path / "maps"
    sizes = write(path)
    whole = path.read_bytes()
    near = {end + step for end in [0, *sizes] for step in range(-14, 15)}
    for size in sorted(near & set(range(len(whole)))):
        path.write_bytes(whole[:size])
        with MapCache(path, ORIGIN) as cache:
            assert cache.diameter == (None if size < sizes[0] else 1 / 3)
            if cache.diameter is None:
                cache.begin(1 / 3)
            count = len(list(cache.parts(WIDTH, 3)))
            assert count == sum(end <= size for end in sizes[1:])
            for part in PARTS[count:]:
                cache.append(part)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("record", range(5))
def test_from_a_damaged_record_on_nothing_is_taken(tmp_path, record):
    path = tmp_path / "maps"
    sizes = [0, *write(path)]
    whole = path.read_bytes()
    for at in (sizes[record], sizes[record] + 9, sizes[record] + 20, sizes[record + 1] - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        diameter, parts = read(path)
        assert diameter == (1 / 3 if record else None)
        assert_same(parts, PARTS[: max(0, record - 1)])
        assert path.stat().st_size == sizes[record]


def test_zeros_at_the_end_are_no_rows(tmp_path):
    path = tmp_path / "maps"
    sizes = write(path)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert_same(read(path)[1], PARTS)
    assert path.stat().st_size == sizes[-1]


@pytest.mark.parametrize("change", [{"image": "b"}, {"channels": None}, {"diameter": 1 / 3}])
def test_maps_of_another_origin_are_dropped(tmp_path, change):
    path = tmp_path / "maps"
    write(path)
    assert read(path, ORIGIN | change) == (None, [])
    assert path.stat().st_size == 0


def test_a_file_that_is_none_of_ours_is_dropped(tmp_path):
    (tmp_path / "maps").write_bytes(b"notes of somebody" * 100)
    assert read(tmp_path / "maps") == (None, [])


def test_the_origin_says_what_decides_a_result_and_nothing_else():
    def origins(image="i", network="n", runtime="1 CPU", **options):
        """Return the origin of the labels and that of the maps."""
        records = [
            record(**{item.name: options.pop(item.name) for item in fields(record) if item.name in options})
            for record in (Segmentation, Runtime, Output)
        ]
        assert not options
        return tuple(origin(image, network, runtime, Options(*records)) for origin in (labels_origin, maps_origin))

    labels, maps = origins()
    for same in ({"batch": 4}, {"threads": 2}, {"memory": "4G"}, {"device": "cpu"}, {"gpu_memory": "4G"}):
        assert origins(**same) == (labels, maps)
    for other in ({"flow_threshold": 0.2}, {"cellprob_threshold": 1.0}, {"min_size": 3}, {"ids": "challenge"}):
        assert origins(**other)[0] != labels
        assert origins(**other)[1] == maps
    for other in (
        {"image": "j"},
        {"network": "m"},
        {"runtime": "2 CPU"},
        {"diameter": 30},
        {"channels": (1, 2, 3)},
        {"augment": True},
    ):
        assert origins(**other)[0] != labels
        assert origins(**other)[1] != maps
    chosen = list(origins(channels=(1, 2, 3)))
    assert json.loads(json.dumps(chosen)) == chosen


def test_a_file_that_cannot_be_kept_is_named(tmp_path):
    with pytest.raises(OutputError, match="maps: the cached maps cannot be read or written"):
        MapCache(tmp_path / "absent" / "maps", ORIGIN)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder: the cached maps cannot be read or written"):
        discard(tmp_path / "folder")
    discard(tmp_path / "absent")
    assert maps_path(tmp_path / "a_label.tiff") == tmp_path / ".a_label.tiff.maps"


class Counting:
    """A network that counts its tiles."""

    def __init__(self, network):
        self.contract, self._network, self.tiles, self.looks = network.contract, network, 0, 0
        self.gpu_memory = None
        self.count = 1

    def maps(self, tiles):
        self.tiles += len(tiles)
        return self._network.maps(tiles)

    def diameters(self, tiles):
        self.looks += len(tiles)
        return self._network.diameters(tiles)


@pytest.mark.slow
def test_kept_rows_go_through_the_network_no_more(network, tmp_path):
    image = ArrayImage(simulate("fluorescence_nuclei", (330, 120), 4, 26).image[None])

    def labels(cache=None):
        counting = Counting(network)
        plan = plan_image(image, counting, Segmentation(), Runtime(), cache.diameter if cache else None)
        sharing = Sharing(Bands(tmp_path / "bands", ORIGIN, plan), 0)
        rows = map_rows(image, counting, plan, lambda fraction, share: None, cache, sharing)
        return (
            plan.diameter,
            np.concatenate(list(label_maps(rows, plan, CellTableBuilder()))),
            counting,
        )

    diameter, whole, all_tiles = labels()
    path = tmp_path / "maps"
    with MapCache(path, ORIGIN) as cache:
        assert labels(cache)[0] == diameter
    size, tiles = path.stat().st_size, []
    for left in (size, size * 2 // 3, size // 3, 450):
        path.write_bytes(path.read_bytes()[:left])
        with MapCache(path, ORIGIN) as cache:
            again, resumed, counting = labels(cache)
        assert again == diameter
        assert counting.looks == 0 < all_tiles.looks
        np.testing.assert_array_equal(resumed, whole)
        assert path.stat().st_size == size
        tiles.append(counting.tiles)
    assert tiles == sorted(tiles)
    assert tiles[0] == 0
    assert tiles[-1] < all_tiles.tiles
