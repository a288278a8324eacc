"""Benchmarks refuse options that would have no effect, before anything is measured."""

import sys
from importlib import import_module

import pytest

pytest.importorskip("torch", reason="the benchmarks need PyTorch")
pytest.importorskip("psutil", reason="the benchmarks need psutil")


@pytest.mark.parametrize(
    ("module", "words", "message"),
    [
        *(
            ("efficiency", (".", "--local", f"--{name}", value), f"--{name} has no effect with --local")
            for name, value in (("engine", "podman"), ("gpus", ""), ("memory", "4G"))
        ),
        ("startup", ("--image", "a", "--checkpoint", "b.pt"), "--checkpoint has no effect with --image"),
        ("startup", ("--engine", "podman"), "--engine has no effect without --image"),
        ("viewer", ("--size", "100"), "--size 100 is not a multiple of 64"),
    ],
)
def test_an_option_without_effect_is_refused(module, words, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, *words])
    with pytest.raises(SystemExit) as refused:
        import_module(f"bench.speed.{module}").main()
    assert refused.value.code == 2
    assert message in capsys.readouterr().err
