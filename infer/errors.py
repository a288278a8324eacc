"""The error family: one base class; every other class is also the builtin exception that a caller expects."""


class FlowmaskError(Exception):
    """Base class of the errors that Flowmask raises on purpose. The message is one sentence for the user."""


class ImageError(FlowmaskError, ValueError):
    """An image file cannot be read, or it is a stack of images."""


class NetworkError(FlowmaskError, ValueError):
    """A network file is missing, is not an ONNX file, or has no contract that this version can read."""


class SettingsError(FlowmaskError, ValueError):
    """The value of an option is out of range, or does not fit the image, the network or the machine."""


class RunError(FlowmaskError, RuntimeError):
    """Inference on a readable image failed, for example because memory ran out."""


class Cancelled(FlowmaskError):
    """The caller cancelled the work: its ``progress`` function raised this error."""


class NoRoomError(RunError, MemoryError):
    """There is not enough memory for this number of tiles at once."""


class DeviceError(RunError):
    """The GPU failed permanently: this process cannot use it any more."""


class InputError(FlowmaskError, FileNotFoundError):
    """An input folder or file does not exist or cannot be read, or a folder contains no image."""


class OutputError(FlowmaskError, OSError):
    """A result file cannot be written."""


class FolderError(OutputError):
    """No result can be written into the output folder any more: its disk is full, or it became read-only."""


def one_line(error: Exception) -> str:
    """Return the message of an exception as one printable line; the name of its class if the message is empty.

    >>> one_line(ValueError("out of memory:   4 GiB"))
    'out of memory: 4 GiB'
    >>> one_line(KeyError())
    'KeyError'
    """
    return printable(" ".join(str(error).split()) or type(error).__name__)


def printable(text: str) -> str:
    r"""Return the text with every character escaped that is not printable, such as a line break in a file name.

    A file name can contain control characters, and these would change the terminal.

    >>> print(printable("two\nlines.tif"))
    two\nlines.tif
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def as_utf8(text: str) -> str:
    r"""Return the text with every character escaped that UTF-8 lacks: a byte of a file name in another encoding.

    >>> print(as_utf8("caf\udce9.tif"))
    caf\udce9.tif
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
