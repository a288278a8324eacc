"""The dock widget: segment a layer, segment a slide, save corrected pairs, train with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import Event, Thread
from typing import Any

from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    Label,
    LineEdit,
    ProgressBar,
    PushButton,
    TextEdit,
    create_widget,
)
from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.QtCore import QCoreApplication
from superqt.utils import ensure_main_thread

import flowmask
from flowmask.labels.paths import LABEL_SUFFIX, label_path
from flowmask.network.registry import shipped_networks

from .command import STOPPED, Command
from .layers import in_words, measured, placed_like, save_pair, segmentation, shown
from .reader import pixels as label_pixels

FILE = "a file"
PLANE, CHANNELS = "the plane shown", "all planes as channels"
THREAD = "flowmask"
LINES = 200
"""Lines of a command that stay visible."""


def in_panel(method: Callable[..., None]) -> Callable[..., Any]:
    """Run a method of the panel in its thread, unless the panel is closed by then."""

    @ensure_main_thread
    @wraps(method)
    def run(panel: FlowmaskWidget, *arguments: Any) -> None:
        if not panel.closed.is_set():
            method(panel, *arguments)

    return run


class FlowmaskWidget(Container):
    """The widget. One job runs at a time, in a thread or in a process; Cancel ends it."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(scrollable=True)
        self._viewer = napari_viewer
        self._cancelled, self.closed = Event(), Event()
        self._command: Command | None = None
        self._lines: list[str] = []
        self.extend([*self._inputs(), *self._slide(), *self._training(), *self._outputs()])
        self._file_shown()
        self._busy(False)
        self.native.destroyed.connect(self._close)
        QCoreApplication.instance().aboutToQuit.connect(self._close)

    def _inputs(self) -> list[Any]:
        names = [network.name for network in shipped_networks() if network.path.is_file()]
        self.image = create_widget(annotation=Image, label="image")
        self.stack = ComboBox(choices=[PLANE, CHANNELS], label="of a stack")
        self.network = ComboBox(choices=[*names, FILE], label="network")
        self.network.changed.connect(self._file_shown)
        self.network_file = FileEdit(filter="*.onnx", label="network file")
        self.diameter = LineEdit(label="diameter", tooltip="px, or micrometres such as 12um; empty: estimated")
        self.channels = LineEdit(label="channels", tooltip="numbers from 1 or names, such as 2,1; empty: chosen")
        self.segment_button = PushButton(text="Segment the image")
        self.segment_button.clicked.connect(self.segment)
        return [
            self.network, self.network_file, self.diameter, self.channels, self.image, self.stack, self.segment_button,
        ]  # fmt: skip

    def _slide(self) -> list[Any]:
        self.slide = FileEdit(label="slide", nullable=True)
        self.slide_folder = FileEdit(mode="d", label="labels go to", nullable=True)
        self.slide_button = PushButton(text="Segment the slide")
        self.slide_button.clicked.connect(self.segment_slide)
        return [
            Label(value="A slide is read in windows from its file"),
            self.slide,
            self.slide_folder,
            self.slide_button,
        ]

    def _training(self) -> list[Any]:
        self.corrected = create_widget(annotation=Labels, label="labels")
        self.folder = FileEdit(mode="d", label="folder of pairs", nullable=True)
        self.save_button = PushButton(text="Save the image and its corrected labels")
        self.save_button.clicked.connect(self.save)
        self.new_network = FileEdit(mode="w", filter="*.onnx", label="new network", nullable=True)
        self.train_button = PushButton(text="Train with the folder")
        self.train_button.clicked.connect(self.train)
        return [
            Label(value="Correct about ten images and train"),
            self.corrected, self.folder, self.save_button, self.new_network, self.train_button,
        ]  # fmt: skip

    def _outputs(self) -> list[Any]:
        self.progress = ProgressBar(min=0, max=100, label="progress")
        self.cancel_button = PushButton(text="Cancel")
        self.cancel_button.clicked.connect(self.cancel)
        self.report = TextEdit(label="")
        self.report.read_only = True
        return [self.progress, self.cancel_button, self.report]

    def segment(self) -> None:
        """Segment the chosen image layer in a thread; a layer of labels is added at the end."""
        layer = self.image.value
        try:
            if layer is None:
                raise flowmask.InputError("no image is open; open one and choose it as the image.")
            options = segmentation(self.diameter.value, self.channels.value, layer)
            pixels, axes = shown(layer, self._viewer.dims.point, self.stack.value == CHANNELS)
            network = self._network()
        except flowmask.FlowmaskError as error:
            self._complain(error)
            return

        def work() -> None:
            result = flowmask.segment(pixels, network, options, axes=axes, progress=self._advance)
            self._add(result, layer)

        self._busy(True)
        Thread(target=self._run, args=(work,), name=THREAD).start()

    def segment_slide(self) -> None:
        """Segment a file with the command `flowmask segment`, which needs little memory, and open its labels."""
        try:
            slide = _given(self.slide, "slide", "the image file")
            folder = _given(self.slide_folder, "labels go to", "a folder for the labels")
            segmentation(self.diameter.value, self.channels.value)  # refuses what is no option
            words = ["segment", str(slide), "-o", str(folder), "--save", "labels,ome", "--model", self._network()]
        except flowmask.FlowmaskError as error:
            self._complain(error)
            return
        for option, text in (("--diameter", self.diameter.value), ("--channels", self.channels.value)):
            words += [option, text] if text.strip() else []
        path = label_path(folder, slide.name)
        path = path.with_name(path.name.replace(LABEL_SUFFIX, "_labels.ome.tif"))
        self._start(words, lambda: self._open(path))

    def save(self) -> None:
        """Write the chosen image and labels as a pair into the folder of pairs."""
        try:
            folder = _given(self.folder, "folder of pairs", "a folder")
            image, labels = self.image.value, self.corrected.value
            if image is None or labels is None:
                raise flowmask.InputError("a pair needs an image and its labels; choose both layers.")
            point = self._viewer.dims.point
            pixels, axes = shown(image, point, self.stack.value == CHANNELS)
            saved = save_pair(folder, image.name, pixels, axes, shown(labels, point)[0])
        except flowmask.FlowmaskError as error:
            self._complain(error)
            return
        self._say(f"{saved} and its labels are saved.")

    def train(self) -> None:
        """Continue the training of the chosen network with the folder of pairs, by the command `flowmask train`."""
        try:
            folder = _given(self.folder, "folder of pairs", "a folder")
            output = _given(self.new_network, "new network", "a file name that ends in .onnx")
            start = self._network()
        except flowmask.FlowmaskError as error:
            self._complain(error)
            return
        if self.network.value == FILE:
            start = str(
                Path(start).with_suffix(".pt")
            )  # the checkpoint that `flowmask train` writes beside the network
        self._start(["train", str(folder), "-o", str(output), "--start", start], lambda: self._use(output))

    def cancel(self) -> None:
        """End the job that runs, if there is one."""
        self._cancelled.set()
        if self._command:
            self._command.stop()

    def _close(self) -> None:
        self.closed.set()
        self.cancel()

    def _network(self) -> str:
        if self.network.value != FILE:
            return str(self.network.value)
        if not self.network_file.value.is_file():
            raise flowmask.NetworkError("no network file is chosen; choose an .onnx file.")
        return str(self.network_file.value)

    def _run(self, work: Callable[[], None]) -> None:
        """Do work in a thread. An error that is none of Flowmask's reaches napari with its traceback."""
        try:
            work()
        except flowmask.Cancelled as error:
            self._say(str(error))
        except flowmask.FlowmaskError as error:
            self._complain(error)
        finally:
            self._busy(False)

    def _advance(self, fraction: float) -> None:
        if self._cancelled.is_set():
            raise flowmask.Cancelled("Cancelled; no labels were added.")
        self._show(fraction)

    def _start(self, words: list[str], on_success: Callable[[], None]) -> None:
        """Run a command; its lines are shown as they come."""

        def ended(code: int, error: str) -> None:
            self._command = None
            self._busy(False)
            if code == 0:
                on_success()
            elif code in STOPPED or self._cancelled.is_set():
                self._line("Cancelled.")
            else:
                self._complain(error or f"flowmask {words[0]} ended with exit code {code}; see what it printed.")

        self._busy(True)
        self._lines = []
        self._command = Command(words, self._line, ended)

    def _line(self, line: str) -> None:
        self._lines = [*self._lines, line][-LINES:]
        self._say("\n".join(self._lines))
        bar = self.report.native.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _open(self, path: Path) -> None:
        """Add the labels of a slide, or say where they are if the file was a series."""
        if not path.exists():
            self._line(f"The file is a series; its labels are in {path.parent}.")
            return
        levels = label_pixels(path)
        first = levels[0] if isinstance(levels, list) else levels
        beside = [layer for layer in self._viewer.layers if isinstance(layer, Image) and _size(layer) == first.shape]
        place = placed_like(beside[0]) if beside else {}
        self._viewer.add_labels(levels, name=f"{path.name.split('.')[0]}", **place)

    def _use(self, network: Path) -> None:
        """Choose a network that was trained."""
        self.network.value = FILE
        self.network_file.value = network

    def _file_shown(self) -> None:
        self.network_file.visible = self.network.value == FILE

    @in_panel
    def _add(self, result: flowmask.Result, layer: Image) -> None:
        """Add the labels of an image above it, and say what is known of them."""
        added = self._viewer.add_labels(
            result.labels, name=f"{layer.name} cells", features=measured(result.cells), **placed_like(layer)
        )
        self.corrected.value = added
        self._say(in_words(result))

    @in_panel
    def _show(self, fraction: float) -> None:
        self.progress.value = round(100 * fraction)

    @in_panel
    def _say(self, text: str) -> None:
        self.report.value = text

    @in_panel
    def _complain(self, error: object) -> None:
        show_error(str(error))

    @in_panel
    def _busy(self, busy: bool) -> None:
        """Let one job run at a time."""
        if busy:
            self._cancelled.clear()
            self.report.value = "At work ..."
        self.progress.value = 0
        self.progress.visible = self.cancel_button.enabled = busy
        for button in (self.segment_button, self.slide_button, self.train_button):
            button.enabled = not busy


def _given(field: FileEdit, name: str, what: str) -> Path:
    """Return the path in a field. Raises flowmask.InputError if it is empty."""
    if field.value is None or field.value == Path():
        raise flowmask.InputError(f'"{name}" is empty; choose {what}.')
    return Path(field.value)


def _size(layer: Image) -> tuple[int, ...]:
    """Return the (Y, X) of an image layer."""
    shape = layer.data.shapes[0] if layer.multiscale else layer.data.shape
    return tuple(shape[:-1][-2:] if layer.rgb else shape[-2:])
