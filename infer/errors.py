"""The error family: one base, each leaf also the builtin that a caller would expect."""


class FlowmaskError(Exception):
    """Base of every error that Flowmask raises on purpose; its text is one sentence for the user."""


class ImageError(FlowmaskError, ValueError):
    """A file is no image that can be read, or its axes have no single meaning."""


class NetworkError(FlowmaskError, ValueError):
    """A network file is missing, is no ONNX file, or does not carry a contract that this version knows."""


class SettingsError(FlowmaskError, ValueError):
    """A setting is out of its range or does not fit the network."""


class RunError(FlowmaskError, RuntimeError):
    """The network or the memory gives up on an image that can be read."""


class NoRoomError(RunError, MemoryError):
    """The network has no memory for so many tiles at once."""


class DeviceError(RunError):
    """The GPU gives no result any more, to any run of this process."""


class InputError(FlowmaskError, FileNotFoundError):
    """The input folder or file does not exist, or holds no image."""


class OutputError(FlowmaskError, OSError):
    """A result cannot be written."""


def one_line(error: Exception) -> str:
    """Return what an error of others says, as one line that can be printed; its type where it says nothing."""
    return printable(" ".join(str(error).split()) or type(error).__name__)


def printable(text: str) -> str:
    """Return the text as one line that does nothing to a terminal: file names may hold any character."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
