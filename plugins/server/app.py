"""An HTTP server that segments images: POST an image file to /segment, get its labels as TIFF.

    pip install . fastapi python-multipart uvicorn    # in a checkout of Flowmask
    uvicorn app:app --workers 1
    curl -F image=@cells.png "localhost:8000/segment?diameter=30" -o labels.tiff

Threads: `flowmask.segment` may be called from several threads with one network; ONNX Runtime's session is safe for
that. Each call uses all cores, so more calls at once are not faster: AT_ONCE limits them, and the others wait.
Memory: a call needs what `MEMORY` says at most, or it is refused; the whole server needs about AT_ONCE times as much.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from threading import BoundedSemaphore

import tifffile
from fastapi import FastAPI, HTTPException, Response, UploadFile

import flowmask

AT_ONCE = 1
MEMORY = "2G"

app = FastAPI(title="Flowmask")
network = flowmask.load_network("small")
places = BoundedSemaphore(AT_ONCE)


@app.post("/segment", response_class=Response)
def segment(image: UploadFile, diameter: float | None = None) -> Response:
    """Return the labels (Y, X) of an image as TIFF; the headers hold the number of cells and the verdict."""
    suffix = Path(image.filename or "").suffix
    with places, tempfile.NamedTemporaryFile(suffix=suffix) as file:
        shutil.copyfileobj(image.file, file)
        file.flush()
        try:
            runtime = flowmask.Runtime(memory=MEMORY)
            result = flowmask.segment(file.name, network, runtime=runtime, diameter=diameter)
        except flowmask.FlowmaskError as error:
            raise HTTPException(422, str(error).replace(file.name, image.filename or "image")) from error
    labels = io.BytesIO()
    tifffile.imwrite(labels, result.labels, compression="zlib")
    headers = {"X-Cells": str(len(result.cells)), "X-Verdict": result.verdict.level}
    return Response(labels.getvalue(), media_type="image/tiff", headers=headers)
