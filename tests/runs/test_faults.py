"""Runs without permissions, disk space or memory, and files whose headers claim more than they hold."""

import ctypes
import errno
import json
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
import tifffile

from bench.trust.encode import bmp, png_chunk, tiff, tiff_tags
from flowmask.cli import main
from flowmask.errors import ImageError
from flowmask.images.readers import open_image
from flowmask.labels.store import LabelStore
from flowmask.many import segment_many
from flowmask.network.contract import KEY
from flowmask.runs import process_file
from flowmask.runs.batch import ALL_DONE, SOME_FAILED, WRONG_USAGE
from flowmask.system.memory import forget_peak, peak_memory
from flowmask.system.write_errors import output_error
from tests.conftest import MODEL, ROOT, needs_network
from train.simulate import simulate

SAMPLE = simulate("fluorescence_nuclei", (90, 110), 6, 26).image
DROP_FROM_BOUNDING_SET, OVERRIDE_RIGHTS, READ_ANYTHING = 24, 1, 2


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "b.png"), SAMPLE)
    return tmp_path


def obey_rights():
    """Give up what lets root read and write everything; it takes effect when the next program is started."""
    if os.geteuid() == 0:
        for capability in (OVERRIDE_RIGHTS, READ_ANYTHING):
            if ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                raise OSError("root keeps its rights here")


def infer(folder, *options, before=None, source=None):
    words = ["-i", source or folder / "in", "-o", folder / "out", "--diameter", "26", *options]
    command = [sys.executable, "-m", "infer", *words]
    return subprocess.run(command, cwd=ROOT, preexec_fn=before, capture_output=True, text=True)


def outputs(folder):
    return sorted(path.name for path in (folder / "out").iterdir())


MILLION = 10**6


def huge_png():
    header = struct.pack(">IIBBBBB", MILLION, MILLION, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def huge_jpeg(height, width):
    data = bytearray(cv2.imencode(".jpg", np.zeros((90, 110), np.uint8))[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


LIMIT, TOO_FEW = "more than the limit of", "too few for so many pixels"
CLAIMS = {
    "TIFF": (tiff([b"\0" * 100], tiff_tags(MILLION, MILLION, 8)), LIMIT),
    "TIFF of tiles left out": (tiff([b""] * 50, tiff_tags(MILLION, MILLION, 8, tile=(16, 16))), LIMIT),
    "compressed TIFF": (tiff([zlib.compress(b"\0")], tiff_tags(MILLION, MILLION, 8, compression=8)), LIMIT),
    "big TIFF": (tiff([b"\0" * 100], tiff_tags(200_000, 200_000, 8)), TOO_FEW),
    "TIFF of many channels": (tiff([b"\0" * 100], tiff_tags(5000, 5000, 8, samples=9)), TOO_FEW),
    "PNG": (huge_png(), LIMIT),
    "BMP": (bmp(b"\0" * 100, MILLION, MILLION, 24), LIMIT),
    "BMP from the top": (bmp(b"\0" * 100, MILLION, -MILLION, 24), LIMIT),
    "JPEG": (huge_jpeg(65_500, 65_500), TOO_FEW),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_header_that_claims_too_much_is_refused_before_anything_is_allocated(tmp_path, name):
    data, limit = CLAIMS[name]
    assert len(data) < 3000
    (tmp_path / "a").write_bytes(data)
    forget_peak()
    before = peak_memory()
    with pytest.raises(ImageError, match=f"a: its header gives .* px .*{limit}"):
        open_image(tmp_path / "a")
    assert peak_memory() - before < 2**25


def test_more_than_the_memory_at_once_is_refused_with_the_way_out(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), SAMPLE)
    tifffile.imwrite(tmp_path / "a.tif", SAMPLE, compression="zlib", rowsperstrip=90)
    monkeypatch.setattr("flowmask.images.size_limits.available_memory", lambda: 5000)
    for name in ("a.png", "a.tif"):
        with pytest.raises(ImageError, match=f"{name}: .* must be decoded at once, .*; save it as tiled TIFF"):
            open_image(tmp_path / name)
    tifffile.imwrite(tmp_path / "a.tif", SAMPLE, compression="zlib", tile=(32, 32))
    assert open_image(tmp_path / "a.tif").shape == (1, 90, 110)


@pytest.mark.slow
@needs_network
def test_a_file_that_may_not_be_read_costs_itself(folder):
    cv2.imwrite(str(folder / "in" / "a.png"), SAMPLE)
    (folder / "in" / "a.png").chmod(0)
    done = infer(folder, before=obey_rights)
    assert done.returncode == SOME_FAILED
    reason = "a.png: it cannot be read (Permission denied); check the file and its permissions."
    assert done.stderr.splitlines()[1].endswith(reason)
    assert outputs(folder) == ["b_label.tiff"]


@pytest.mark.slow
def test_a_folder_that_may_not_be_written_stops_the_run_before_any_work(folder):
    (folder / "out").chmod(0o555)
    done = infer(folder, before=obey_rights)
    assert done.returncode == WRONG_USAGE
    assert done.stderr.splitlines() == [
        f"error: {folder / 'out'}: it cannot be written to (Permission denied); choose another output folder."
    ]
    assert infer(folder, "-o", folder / "out" / "new", before=obey_rights).returncode == WRONG_USAGE
    assert infer(folder, "-o", folder / "in" / "b.png").returncode == WRONG_USAGE


@pytest.mark.slow
@needs_network
@pytest.mark.parametrize("options", [(), ("--resume",)])
def test_a_file_larger_than_the_system_allows_costs_itself(folder, options):
    cv2.imwrite(str(folder / "in" / "a.png"), simulate("fluorescence_nuclei", (400, 400), 16, 26).image)
    limit = 2000 if not options else 1_000_000

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = infer(folder, *options, before=fill)
    assert done.returncode == SOME_FAILED
    opening, first, second = done.stderr.splitlines()
    assert opening.startswith("2 images to segment")
    assert "a.png: " in first
    assert re.search(r"\(File too large\); the disk .* allows no file of this size, so .* another disk\.$", first)
    assert second.startswith("1 of 2 files failed")
    caches = [".a_label.tiff.maps"] if options else []
    assert outputs(folder) == [*caches, "b_label.tiff"]
    assert infer(folder, *options).returncode == ALL_DONE
    assert outputs(folder) == ["a_label.tiff", "b_label.tiff"]


@contextmanager
def small_disk(folder, size):
    """Let ``folder`` be on a disk of its own with ``size`` KiB."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@needs_network
@pytest.mark.parametrize("options", [(), ("--resume",), ("--save", "all")])
def test_a_full_disk_ends_the_run_which_goes_on_later(folder, options):
    for name in "acd":
        cv2.imwrite(str(folder / "in" / f"{name}.png"), simulate("fluorescence_nuclei", (400, 400), 16, 26).image)
    with small_disk(folder / "out", 8000):
        (folder / "out" / "others").write_bytes(bytes(8000 * 1024))
        done = infer(folder, *options, "--report", folder / "run.json")
        assert done.returncode == SOME_FAILED
        opening, first, *others = done.stderr.splitlines()
        assert opening.startswith("4 images to segment")
        assert re.search(r"a\.png: .* \(No space left on device\); make room on this disk, or choose another", first)
        closing = "0 of 4 files are done and 3 not begun; add --resume to continue."
        assert f"stopped by an output folder that cannot be written: {closing}" in others
        also = ["cells.csv", "report.html"] if "all" in options else []
        assert [line.split(":")[1].split("/")[-1] for line in others if line.startswith("error: ")] == also
        files = json.loads((folder / "run.json").read_text())["files"]
        assert [file["status"] for file in files] == ["failed", *["not reached"] * 3]
        (folder / "out" / "others").unlink()
        assert infer(folder, *options, "--resume").returncode == ALL_DONE
        assert {f"{name}_label.tiff" for name in "abcd"} <= {*outputs(folder)}


@pytest.mark.slow
@needs_network
def test_a_disk_that_becomes_read_only_ends_the_run(folder, monkeypatch, capsys):
    for name in "ac":
        cv2.imwrite(str(folder / "in" / f"{name}.png"), SAMPLE)
    remount = ["mount", "-o", "remount,ro", folder / "out"]
    monkeypatch.setattr(process_file, "discard_maps", lambda _: subprocess.run(remount, check=True))
    words = ["-i", str(folder / "in"), "-o", str(folder / "out"), "--diameter", "26"]
    with small_disk(folder / "out", 2000):
        assert main(words) == SOME_FAILED
        first, last = capsys.readouterr().err.splitlines()[-2:]
        assert f"(Read-only file system); nothing more can be written into {folder / 'out'}, so check this" in first
        assert "1 of 3 files are done and 1 not begun" in last


@needs_network
def test_a_full_disk_ends_the_work_in_python(folder, monkeypatch):
    for name in "ac":
        cv2.imwrite(str(folder / "in" / f"{name}.png"), SAMPLE)
    real, stored = LabelStore.append, []

    def full(store, rows):
        stored.append(store)
        if store is not stored[0]:
            raise output_error(folder, folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        real(store, rows)

    monkeypatch.setattr(LabelStore, "append", full)
    found = segment_many(folder / "in", folder / "out", diameter=26)
    assert [outcome.status for outcome in found] == ["done", "failed", "not reached"]
    assert [outcome.ends_run for outcome in found] == [False, True, False]


@needs_network
def test_a_full_folder_for_temporary_files_costs_the_image(folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(process_file, "label_rows", full)
    assert main(["-i", str(folder / "in"), "-o", str(folder / "out"), "--diameter", "26"]) == SOME_FAILED
    assert re.search("b.png: the folder for temporary files, .* set TMPDIR to a folder", capsys.readouterr().err)


LIMITED = """
import json, re, resource, sys
from dataclasses import asdict
from pathlib import Path
from flowmask.runs.jobs import Job
from flowmask.options import Options, Runtime, Segmentation
from flowmask.runs.prepare import prepare

source, output, spare, batch = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
options = Options(Segmentation(diameter=26), Runtime(batch=batch, device="cpu"))
segment = prepare([Path(sys.argv[5])], options, False)
jobs = [Job(path, output / f"{path.stem}_label.tiff") for path in sorted(source.iterdir())]
outcomes = [list(segment(jobs[-1]))[-1]]
size = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (size + spare, size + spare))
outcomes += [list(segment(job))[-1] for job in jobs]
print(json.dumps([asdict(outcome) for outcome in outcomes]))
"""


def limited(folder, shape, batch, spare, before=""):
    """Segment a large image, a.png, between two turns of a small one with ``spare`` MiB of memory to spare.

    before: Python that runs in the process before it opens the network.
    """
    pixels = np.zeros(shape, np.uint8)
    pixels[:90, :110] = SAMPLE
    cv2.imwrite(str(folder / "in" / "a.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    words = [folder / "in", folder / "out", spare * 2**20, batch, MODEL]
    program = "import re\nfrom pathlib import Path\n" + before + LIMITED
    done = subprocess.run([sys.executable, "-c", program, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
@needs_network
def test_memory_that_runs_out_costs_the_image_that_needs_it(folder):
    (first, failed, second), _ = limited(folder, (14_000, 14_000), 1, 60)
    assert [outcome["status"] for outcome in (first, failed, second)] == ["done", "failed", "done"]
    assert first["cells"] == second["cells"] > 0
    assert re.search(r"a\.png: there is not enough memory for this image; run it on a larger machine", failed["reason"])
    assert failed["trace"] is None
    assert outputs(folder) == ["b_label.tiff"]


SHORT = """
import resource
from flowmask.network.session import OnnxNetwork

real = OnnxNetwork.maps

def short(network, tiles):
    if len(tiles) < 6:
        return real(network, tiles)
    size = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 8 * 2**20, limits[1]))
    try:
        return real(network, tiles)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)

OnnxNetwork.maps = short
"""


@pytest.mark.slow
@needs_network
def test_a_network_that_gets_no_memory_for_many_tiles_gets_fewer(folder):
    """The operating system has 8 MiB for 6 tiles and more, and all its memory for fewer."""
    outcomes, messages = limited(folder, (1500, 1500), 256, 2**20, SHORT)
    assert [outcome["status"] for outcome in outcomes] == ["done"] * 3
    assert re.search(r"not enough memory for 9 tiles at once; the rest of this image runs 4 at a time\.", messages)
    assert [outcome["cells"] for outcome in outcomes] == [outcomes[0]["cells"]] * 3
    assert outputs(folder) == ["a_label.tiff", "b_label.tiff"]


def changed(onnx, **values):
    model = onnx.load(MODEL)
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = json.dumps(json.loads(entry.value) | values)
    return model.SerializeToString()


def bare(onnx):
    model = onnx.load(MODEL)
    del model.metadata_props[:]
    return model.SerializeToString()


NETWORKS = {
    "cut short": (
        lambda onnx: MODEL.read_bytes()[: MODEL.stat().st_size // 2],
        "it is not an ONNX file, or it is damaged",
    ),
    "cut at the end": (lambda onnx: MODEL.read_bytes()[:-1], "it is not an ONNX file, or it is damaged"),
    "empty": (lambda onnx: b"", "it is not an ONNX file, or it is damaged"),
    "a picture": (lambda onnx: cv2.imencode(".png", SAMPLE)[1].tobytes(), "it is not an ONNX file, or it is damaged"),
    "a text": (lambda onnx: b"the network", "n.onnx: "),
    "of another family": (
        lambda onnx: changed(onnx, family="other"),
        "the network .* has the family 'other' but .* runs only .*flow, sem",
    ),
    "of another version": (lambda onnx: changed(onnx, version=4), "its contract has version 4, .* versions up to 3"),
    "of no contract": (bare, "this ONNX file has no Flowmask contract; make one with `python -m export`"),
}


@needs_network
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_is_none_of_ours_stops_the_run_in_one_sentence(onnx, folder, capsys, name):
    content, reason = NETWORKS[name]
    (folder / "n.onnx").write_bytes(content(onnx))
    words = ["-i", folder / "in", "-o", folder / "out", "-m", folder / "n.onnx", "--report", folder / "run.json"]
    assert main([str(word) for word in words]) == WRONG_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"error: .*n.onnx: .*{reason.removeprefix('n.onnx: ')}", line)
    assert json.loads((folder / "run.json").read_text())["ending"] == line.removeprefix("error: ")
    assert outputs(folder) == []


@pytest.mark.slow
@needs_network
def test_a_network_that_cannot_be_opened_in_a_process_apart_says_so_here(folder):
    (folder / "n.onnx").write_bytes(MODEL.read_bytes()[:100_000])
    done = infer(folder, "-m", folder / "n.onnx")
    assert done.returncode == WRONG_USAGE
    assert done.stderr.startswith(f"error: {folder / 'n.onnx'}: it is not an ONNX file, or it is damaged")
    assert len(done.stderr.splitlines()) == 1


def test_nothing_of_ours_unpickles():
    """What Numba keeps of its own compiled code is its own affair, and so is what Dask sends between processes."""
    for path in {*(ROOT / "infer").rglob("*.py")} - {*(ROOT / "infer" / "cluster").iterdir()}:
        text = path.read_text()
        text = text.replace("literal_eval(", "")  # reads a number, a text or a tuple, and runs nothing
        text = re.sub(r"np\.load\(.*allow_pickle=False\)", "", text)  # reads arrays of numbers alone
        for word in ("pickle", "np.load", "numpy.load", "marshal", "shelve", "eval(", "exec("):
            assert word not in text, path
