"""The web server of the page: it listens on the loopback interface alone, and gives out nothing that it does not list.

Every address begins with a random word, so that other users of the same computer cannot look at the images. Requests
under another host name are refused: a page from elsewhere cannot reach the server by a name that it made point here.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import webbrowser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import FlowmaskError, SettingsError, one_line
from ..runs.screen import answer, complain
from .cells import Filter
from .found import find_results
from .gallery import Gallery
from .refused import Refused

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
MOST_NAMED = 5
"""Label files without an image that get a line of their own on the screen."""
STATIC = {
    "": ("page.html", "text/html; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "openseadragon.js": ("openseadragon.min.js", "text/javascript; charset=utf-8"),
    "openseadragon.LICENSE.txt": ("openseadragon.LICENSE.txt", "text/plain; charset=utf-8"),
}
"""The files of the page: address -> (file, type)."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the browser may load for the page: nothing from elsewhere."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Query = Mapping[str, list[str]]


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    body: bytes | Iterable[str]
    """All bytes, or the parts of a text that is sent while it is made."""
    kind: str
    """The media type."""
    file: str | None = None
    """The name under which the browser saves it."""
    cacheable: bool = False
    """Whether the browser may cache it."""


def make_server(gallery: Gallery, port: int = 0) -> ThreadingHTTPServer:
    """Return a server for a page with these images; port 0: any free one. `address` returns where it is.

    Raises SettingsError if the port cannot be used.

    >>> with make_server(Gallery([])) as server:
    ...     server.server_address[0]
    '127.0.0.1'
    """
    key = secrets.token_urlsafe(12)

    class Handler(_Handler):
        pass

    Handler.gallery, Handler.key = gallery, key
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"port {port} cannot be used ({error}); choose another one with --port.") from error
    server.daemon_threads = True
    return server


def address(server: ThreadingHTTPServer) -> str:
    """Return the address of the page.

    >>> with make_server(Gallery([])) as server:
    ...     address(server).startswith(f"http://127.0.0.1:{server.server_port}/")
    True
    """
    handler: Any = server.RequestHandlerClass
    return f"http://{LOOPBACK}:{server.server_port}/{handler.key}/"


def view(
    folder: Path, images: Sequence[Path], port: int, browser: bool, plane: int | None, project: str | None
) -> None:
    """Serve the page about a folder of labels until Ctrl-C, and print its address.

    images, errors: as in `find_results`; port, errors: as in `make_server`; plane, project: as in `open_slide`.
    """
    found, missing = find_results(folder, images)
    for sentence in missing[:MOST_NAMED]:
        complain(sentence)
    if len(missing) > MOST_NAMED:
        complain(f"the images of {len(missing) - MOST_NAMED} other label files were not found either.")
    gallery = Gallery(found, plane, project)
    with make_server(gallery, port) as server:
        answer(f"{address(server)}\nOpen this address in a browser on this computer; Ctrl-C ends.")
        if browser:
            webbrowser.open(address(server))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
        finally:
            gallery.close()


class _Handler(BaseHTTPRequestHandler):
    gallery: Gallery
    key: str
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            answer = self._routed()
        except Refused:
            self._send(HTTPStatus.NOT_FOUND, Answer(b"There is nothing here.\n", "text/plain; charset=utf-8"))
        except FlowmaskError as error:
            text = one_line(error).encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, Answer(text, "text/plain; charset=utf-8"))
        except Exception as error:  # an unexpected error must not end the connection without an answer
            log.exception("unexpected error")
            text = f"unexpected error ({one_line(error)}); please report it.".encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, Answer(text, "text/plain; charset=utf-8"))
        else:
            self._send(HTTPStatus.OK, answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the page asks for many tiles."""

    def _routed(self) -> Answer:
        """Return the answer. Raises Refused if there is none."""
        port = self.connection.getsockname()[1]
        if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
            raise Refused("another host name")
        url = urlsplit(self.path)
        start = f"/{self.key}/"
        if not secrets.compare_digest(url.path[: len(start)].encode(), start.encode()):
            raise Refused("another address")
        return route(self.gallery, url.path[len(start) :], parse_qs(url.query))

    def _send(self, status: HTTPStatus, answer: Answer) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Cache-Control", "private, max-age=3600" if answer.cacheable else "no-store")
        if answer.file:
            self.send_header("Content-Disposition", f'attachment; filename="{answer.file}"')
        if isinstance(answer.body, bytes):
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self._write([answer.body])
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            self._write(part.encode() for part in answer.body)

    def _write(self, parts: Iterable[bytes]) -> None:
        try:
            for part in parts:
                self.wfile.write(part)
        except ConnectionError:  # the browser no longer wants it
            self.close_connection = True


def route(gallery: Gallery, path: str, query: Query) -> Answer:
    """Return what belongs to an address of the page. Raises Refused if nothing does.

    >>> route(Gallery([]), "images", {}).body
    b'[]'
    """
    if path in STATIC:
        name, kind = STATIC[path]
        return Answer((files(__package__) / "static" / name).read_bytes(), kind)
    if path == "images":
        return _json(gallery.names())
    for pattern, respond in ROUTES:
        match = re.fullmatch(pattern, path, re.ASCII)
        if match:
            number, *rest = match.groups()
            return respond(gallery, int(number), rest, query)
    raise Refused("another address")


def filter_of(query: Query) -> Filter:
    """Return the filter that an address asks for. Raises Refused for a value that is no number.

    >>> filter_of({"area_min": ["5"]}).area_min
    5.0
    """
    return Filter(**{name: _number(query, name) for name in Filter.__dataclass_fields__ if name in query})


def _number(query: Query, name: str) -> float:
    try:
        value = float(query[name][0])
    except (KeyError, ValueError) as error:
        raise Refused(f"{name} is no number") from error
    if math.isnan(value):
        raise Refused(f"{name} is no number")
    return value


def _state(gallery: Gallery, number: int, rest: list[str], query: Query) -> Answer:
    return _json(gallery.state(number))


def _picture(gallery: Gallery, number: int, rest: list[str], query: Query) -> Answer:
    level, column, row = map(int, rest)
    return Answer(gallery.slide(number).picture(level, row, column), "image/jpeg", cacheable=True)


def _layer(gallery: Gallery, number: int, rest: list[str], query: Query) -> Answer:
    kind, level, column, row = rest[0], *map(int, rest[1:])
    return Answer(gallery.slide(number).layer(kind, level, row, column, filter_of(query)), "image/png", cacheable=True)


def _cell(gallery: Gallery, number: int, rest: list[str], query: Query) -> Answer:
    """Answer with the measurements and the outline of the cell at a pixel, or null."""
    slide = gallery.slide(number)
    y, x = (math.floor(max(-1.0, min(_number(query, name), 2.0**31))) for name in ("y", "x"))
    cell = slide.cell_at(y, x)
    if not cell or not slide.chosen(filter_of(query))[cell]:
        return _json(None)
    box = slide.cells.boxes[cell - 1].tolist()
    return _json({"cell": cell, "row": slide.cells.row(cell), "box": box, "outline": slide.outline(cell)})


def _count(gallery: Gallery, number: int, rest: list[str], query: Query) -> Answer:
    """Answer with the number of shown cells, and with that of those in a region."""
    slide = gallery.slide(number)
    inside = len(slide.cells_in(_region(query), filter_of(query)))
    return _json({"shown": int(slide.chosen(filter_of(query)).sum()), "inside": inside})


def _export(gallery: Gallery, number: int, rest: list[str], query: Query) -> Answer:
    """Answer with the cells of a region as CSV or GeoJSON."""
    slide = gallery.slide(number)
    numbers = slide.cells_in(_region(query), filter_of(query))
    name = re.sub(r"[^A-Za-z0-9._-]", "_", slide.found.name)
    if rest[0] == "csv":
        return Answer(slide.cells.csv(numbers), "text/csv; charset=utf-8", f"{name}_region.csv")
    return Answer(slide.geojson(numbers), "application/geo+json", f"{name}_region.geojson")


def _region(query: Query) -> tuple[float, float, float, float]:
    top, left, bottom, right = (_number(query, name) for name in ("top", "left", "bottom", "right"))
    return top, left, bottom, right


def _json(value: Any) -> Answer:
    return Answer(json.dumps(value).encode(), "application/json")


ROUTES: list[tuple[str, Callable[[Gallery, int, list[str], Query], Answer]]] = [
    (r"images/(\d{1,9})", _state),
    (r"images/(\d{1,9})/image/(\d{1,2})/(\d{1,6})_(\d{1,6})\.jpg", _picture),
    (r"images/(\d{1,9})/(outlines|fills)/(\d{1,2})/(\d{1,6})_(\d{1,6})\.png", _layer),
    (r"images/(\d{1,9})/cell", _cell),
    (r"images/(\d{1,9})/count", _count),
    (r"images/(\d{1,9})/cells\.(csv|geojson)", _export),
]
"""The addresses of an image; tiles are named by level, column and row."""
