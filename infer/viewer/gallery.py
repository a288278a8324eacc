"""The images of the page: opened in the background when they are looked at, a few at a time."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from ..errors import Cancelled, FlowmaskError, one_line
from .found import Found
from .refused import Refused
from .slide import Slide, open_slide

OPEN = 3
"""Images that stay open."""
log = logging.getLogger(__name__)


class Gallery:
    """The images by their number in the list of the page."""

    def __init__(self, found: Sequence[Found], plane: int | None = None, project: str | None = None) -> None:
        """plane, project: as in `open_slide`."""
        self.found = found
        self._plane, self._project = plane, project
        self._lock = Lock()
        self._opened: OrderedDict[int, Future[Slide]] = OrderedDict()
        self._progress: dict[int, float] = {}
        self._closed = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="open")

    def names(self) -> list[dict[str, Any]]:
        """Return name and number of cells of each image.

        >>> from pathlib import Path
        >>> Gallery([Found(Path("in/a.tif"), "_t001", Path("out/a_t001_label.tiff"), 7, None)]).names()
        [{'name': 'a.tif t001', 'cells': 7}]
        """
        return [{"name": one.name, "cells": one.cells} for one in self.found]

    def state(self, number: int) -> dict[str, Any]:
        """Return what the page needs to know of an image, or its "progress" while it is being opened, or its "error".

        The first call begins to open it. Raises Refused if there is no such image.
        """
        future = self._future(number)
        if not future.done():
            return {"progress": self._progress.get(number, 0.0)}
        try:
            return future.result().about()
        except CancelledError:  # other images were asked for in the meantime; the next call begins again
            return {"progress": 0.0}
        except FlowmaskError as error:
            return {"error": one_line(error)}
        except Exception as error:
            log.exception("%s: unexpected error", self.found[number].image)
            return {"error": f"{self.found[number].image}: unexpected error ({error!r})"}

    def slide(self, number: int) -> Slide:
        """Return an image, when it is open.

        Raises Refused if there is no such image, or if other images were asked for before it was open; and what opening
        it raised.
        """
        try:
            return self._future(number).result()
        except CancelledError as error:
            raise Refused("no longer wanted") from error

    def close(self) -> None:
        """Open no further image, and stop opening the present one."""
        self._closed = True
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _future(self, number: int) -> Future[Slide]:
        if not 0 <= number < len(self.found):
            raise Refused("another image")
        with self._lock:
            if number not in self._opened:
                self._progress.pop(number, None)
                self._opened[number] = self._worker.submit(self._open, number)
            self._opened.move_to_end(number)
            while len(self._opened) > OPEN:
                _, oldest = self._opened.popitem(last=False)
                oldest.cancel()
            return self._opened[number]

    def _open(self, number: int) -> Slide:
        def progress(fraction: float) -> None:
            if self._closed:
                raise Cancelled("the page is closed.")
            self._progress[number] = fraction

        return open_slide(self.found[number], self._plane, self._project, progress)
