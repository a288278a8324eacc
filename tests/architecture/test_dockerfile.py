"""What can be checked of the image without building it."""

from __future__ import annotations

import re

import pytest

from flowmask import __version__
from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


@pytest.mark.parametrize("path", ["Dockerfile", "requirements.txt", "requirements/cpu.txt"])
def test_no_torch(path: str) -> None:
    assert "torch" not in (ROOT / path).read_text()


def test_wheels_are_locked() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "--only-binary :all:" in DOCKERFILE


@pytest.mark.parametrize("path", ["requirements.txt", "requirements/cpu.txt"])
def test_ome_zarr_can_be_read(path: str) -> None:
    assert re.search(r"^zarr==3", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["infer", "models", "predict.sh"])
def test_final_stage_holds(name: str) -> None:
    assert re.search(rf"^COPY .*\b{re.escape(name)} ", FINAL, re.MULTILINE)
    assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("word", ["pip", "gcc"])
def test_final_stage_builds_nothing(word: str) -> None:
    assert word not in FINAL


def test_final_stage_installs_only_ps() -> None:
    assert re.findall(r"apt-get install \S+ \S+ (.+?) *\\?$", FINAL, re.MULTILINE) == ["procps"]


def test_version_is_that_of_the_package() -> None:
    assert f"ARG VERSION={__version__}\n" in FINAL
