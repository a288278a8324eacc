"""The error of a request for something that is not there."""

from __future__ import annotations

from ..errors import FlowmaskError


class Refused(FlowmaskError):
    """The request is not one that the page makes."""
