"""Where the maps of an image come from: the cache of an interrupted run, the network, or other processes that help."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..images.image import Image
from ..labels.paths import bands_path, counts_path, maps_path
from ..map_cache import MapCache, discard
from ..network.session import Network
from ..pipeline import run_tiles
from ..sharing.bands import Bands, read_rows
from ..sharing.counts import CountShare
from ..sharing.labels import LabelPieces
from ..sharing.pieces import discard_pieces
from ..sharing.share import LabelShare, Share
from ..tiles.blend import Array
from ..tiles.plan import ImagePlan

SharedProgress = Callable[[float, Share | CountShare | None], bool | None]
"""(finished fraction of the image, what others need to help or None) -> whether others have time to help."""


@dataclass(frozen=True)
class Sharing:
    """How the maps and the labels of an image may be shared with other processes."""

    bands: Bands
    least: int
    """Network pixels that must be left, so that help is worth its cost; 0: never ask for it."""
    labels: LabelPieces | None = None
    """None if this process makes all labels."""

    def begin(self, done: int) -> Share:
        """Make the folders; return what others need to help from the network row ``done`` on."""
        self.bands.begin()
        band, labels = self.bands.at(done), None
        if self.labels is not None:
            self.labels.begin()
            labels = LabelShare(self.labels.origin, self.labels.first_without(self.bands.edges[band]))
        return Share(self.bands.folder, self.bands.plan, self.bands.origin, band, labels)


def map_rows(
    image: Image, network: Network, plan: ImagePlan, progress: SharedProgress, cache: MapCache | None, sharing: Sharing
) -> Iterator[Array]:
    """Yield all maps (channels, n, X) float32 of an image from the top down.

    First the rows in the cache, then new rows, which are added to it. When others have time to help, or an earlier
    process began to share the maps of this image, the other rows come by way of the bands of ``sharing``. Raises the
    errors of `flowmask.pipeline.run_tiles`, and OutputError.

    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from flowmask.api import load_network
    >>> from flowmask.images.image import as_image
    >>> from flowmask.options import Runtime, Segmentation
    >>> from flowmask.pipeline import plan_image
    >>> image, network = as_image(np.eye(600, 64)), load_network(device="cpu")
    >>> plan = plan_image(image, network, Segmentation(diameter=30), Runtime())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sharing = Sharing(Bands(Path(folder, "bands"), {}, plan), least=1000)
    ...     parts = list(map_rows(image, network, plan, lambda fraction, share: True, None, sharing))
    ...     len(list(Path(folder, "bands").iterdir()))  # files, one for each row of tiles
    3
    >>> np.array_equal(np.concatenate(parts, axis=1), np.concatenate(list(run_tiles(image, network, plan)), axis=1))
    True
    """
    done, height = 0, plan.rows.length  # network rows
    if cache:
        if cache.diameter is None:
            cache.begin(plan.diameter)
        for part in cache.parts(plan.columns.length, plan.contract.map_channels):
            yield part
            done += part.shape[1]
    helped = progress(done / height, None)
    if not sharing.bands.begun() and not _worth(helped, sharing, done):
        with closing(run_tiles(image, network, plan, (done, height))) as parts:
            for part in parts:
                if cache:
                    cache.append(part)
                yield part
                done += part.shape[1]
                if _worth(progress(done / height, None), sharing, done):
                    break
    if done < height:
        progress(done / height, sharing.begin(done))
        for part in read_rows(sharing.bands, image, network, done):
            yield part
            done += part.shape[1]
            progress(done / height, None)


def discard_maps(target: Path) -> None:
    """Remove the cached maps and all that was shared of the image with the label file ``target``, if there are any.

    Raises OutputError when that fails.

    >>> discard_maps(Path("missing_label.tiff"))
    """
    discard(maps_path(target))
    discard_pieces(bands_path(target))
    discard_pieces(counts_path(target))


def _worth(helped: bool | None, sharing: Sharing, done: int) -> bool:
    """Return whether the rows from the network row ``done`` on are to be shared."""
    rows, columns = sharing.bands.plan.network_shape
    return bool(helped) and 0 < sharing.least <= (rows - done) * columns
