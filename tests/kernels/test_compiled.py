"""Kernels that Numba compiles when their module is imported."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowmask.kernels.compiled import _jitted

numba = pytest.importorskip("numba")


def test_threads_that_compile_at_once_leave_the_cache_folder_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    for number in range(12):
        (tmp_path / f"adds{number}.py").write_text(f"def adds{number}(a):\n    return a + {number}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")

    def compiled(number):
        module = importlib.import_module(f"adds{number}")
        return _jitted(getattr(module, f"adds{number}"), "i8(i8)")(1)

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(compiled, range(12))) == list(range(1, 13))
    assert numba.config.CACHE_DIR == ""
    assert list((tmp_path / "here").iterdir()) == []
    for number in range(12):
        del sys.modules[f"adds{number}"]
