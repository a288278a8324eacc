"""Messages name an option in the words of Python; only what serves the command line alone uses its words."""

import ast
import re

from tests.conftest import ROOT

INFER = ROOT / "infer"
COMMAND_LINE = (
    "arguments.py",
    "cli.py",
    "training.py",
    "map_cache.py",
    "runs",
    "images/report.py",
    "kernels/build.py",
    "outputs/report",
    "viewer",
)
"""Modules that only the command line uses; the option --resume, for example, is one of the command line alone."""
FILES = [
    path
    for path in sorted(INFER.rglob("*.py"))
    if not path.relative_to(INFER).as_posix().startswith(COMMAND_LINE) and path != INFER / "options.py"
]
OTHER_PROGRAMS = "(with Docker: --gpus)"


def texts(path):
    """Yield the strings of a module, without docstrings and other strings that stand alone."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value.replace(OTHER_PROGRAMS, "")


def test_no_message_of_the_engine_names_an_option_of_the_command_line():
    found = [(path.relative_to(INFER), text) for path in FILES for text in texts(path)]
    assert [(path, text) for path, text in found if re.search(r"--[a-z]", text)] == []


def test_the_rule_sees_what_breaks_it(tmp_path):
    file = tmp_path / "a.py"
    file.write_text('"""With --memory."""\nraise ValueError(f"{1} is too much; give a smaller --memory.")\n')
    assert [text for text in texts(file) if "--memory" in text] == [" is too much; give a smaller --memory."]
