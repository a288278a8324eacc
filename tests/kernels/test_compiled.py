"""Kernels that Numba compiles when their module is imported."""

import importlib
import platform
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowmask.kernels.compiled import EVERY_RUN, FIRST_RUN, _jitted, _say_once

numba = pytest.importorskip("numba")


def test_threads_that_compile_at_once_leave_the_cache_folder_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    for number in range(12):
        (tmp_path / f"adds{number}.py").write_text(f"def adds{number}(a):\n    return a + {number}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(numba.config, "SLP_VECTORIZE", 0)

    def compiled(number):
        module = importlib.import_module(f"adds{number}")
        return _jitted(getattr(module, f"adds{number}"), "i8(i8)")(1)

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(compiled, range(12))) == list(range(1, 13))
    assert numba.config.CACHE_DIR == ""
    assert numba.config.SLP_VECTORIZE == 0
    assert list((tmp_path / "here").iterdir()) == []
    for number in range(12):
        del sys.modules[f"adds{number}"]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="instructions of x86-64")
def test_products_written_out_side_by_side_are_vector_instructions(tmp_path, monkeypatch):
    (tmp_path / "squares.py").write_text(
        "def squares(a, b):\n    u, v, w, x = a[0] * a[0], a[1] * a[1], a[2] * a[2], a[3] * a[3]\n"
        "    b[0], b[1], b[2], b[3] = u, v, w, x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    squares = _jitted(importlib.import_module("squares").squares, "void(f8[::1], f8[::1])")
    (code,) = squares.inspect_asm().values()
    assert "mulpd" in code
    assert "mulsd" not in code


def compiled_messages(caplog, monkeypatch, folder, name):
    """Compile a function of the module ``name`` with the cache folder ``folder``, and return what is logged."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    _say_once.cache_clear()
    caplog.clear()
    sys.modules.pop(name, None)
    _jitted(importlib.import_module(name).doubles, "i8(i8)")
    return [record.getMessage() for record in caplog.records]


def test_only_the_first_run_says_that_it_compiles(tmp_path, monkeypatch, caplog):
    (tmp_path / "doubled.py").write_text("def doubles(a):\n    return 2 * a\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert compiled_messages(caplog, monkeypatch, tmp_path / "cache", "doubled") == [FIRST_RUN]
    assert compiled_messages(caplog, monkeypatch, tmp_path / "cache", "doubled") == []


def test_code_that_cannot_be_kept_is_announced_in_every_run(tmp_path, monkeypatch, caplog):
    (tmp_path / "doubled_too.py").write_text("def doubles(a):\n    return 2 * a\n")
    monkeypatch.syspath_prepend(tmp_path)
    njit = numba.njit

    def refused(*signature, cache=False, **options):
        if cache:
            raise RuntimeError("no locator available")
        return njit(*signature, **options)

    monkeypatch.setattr(numba, "njit", refused)
    for _ in range(2):
        assert compiled_messages(caplog, monkeypatch, tmp_path / "cache", "doubled_too") == [EVERY_RUN]
