"""Files that appear complete or not at all, also when several processes write the same one."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from flowmask.errors import OutputError
from flowmask.system import atomic_write as module
from flowmask.system.atomic_write import atomic_folder, atomic_write, lock, partial_path, remove_partial

HOLD = """
import sys, time
from pathlib import Path
from flowmask.system.atomic_write import atomic_write
with atomic_write(Path(sys.argv[1])) as partial:
    partial.write_text("of the other process")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that is writing tmp_path / "a.txt" and finishes when its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_two_processes_write_one_file_and_neither_disturbs_the_other(tmp_path, other):
    path = tmp_path / "a.txt"
    remove_partial(path)
    assert partial_path(path).read_text() == "of the other process"
    with atomic_write(path) as partial:
        assert partial == partial_path(path, 1)
        partial.write_text("ours")
    assert path.read_text() == "ours"
    other.communicate("", timeout=60)
    assert other.returncode == 0
    assert path.read_text() == "of the other process"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_removed_or_used_again(tmp_path, other):
    path = tmp_path / "a.txt"
    other.kill()
    other.wait()
    with atomic_write(path) as partial:
        assert partial == partial_path(path)
        assert partial.read_text() == ""
    partial_path(path).write_text("of a killed process")
    partial_path(path, 1).write_text("of a killed process")
    remove_partial(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail():
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="it cannot be written"), atomic_write(tmp_path / "absent" / "a.txt"):
        pass


def open_files():
    """Return what this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(os.readlink(descriptor))
    return found


@pytest.fixture
def locked_while_open(monkeypatch):
    """Refuse to remove or rename a file that this process has open, as Windows does."""

    def refusing(change):
        def checked(path, *given, **named):
            if str(path) in open_files():
                raise PermissionError(13, "Permission denied", str(path))
            return change(path, *given, **named)

        return checked

    monkeypatch.setattr(module, "LOCKED_WHILE_OPEN", True)
    monkeypatch.setattr(module, "lock", lambda file: True)
    monkeypatch.setattr(Path, "unlink", refusing(Path.unlink))
    monkeypatch.setattr(os, "replace", refusing(os.replace))


@pytest.mark.usefixtures("locked_while_open")
def test_where_open_files_cannot_be_removed(tmp_path):
    path = tmp_path / "a.txt"
    partial_path(path).write_text("of a killed process")
    with atomic_write(path) as first:
        first.write_text("first")
        remove_partial(path)
        with atomic_write(path) as second:
            assert (first, second) == (partial_path(path), partial_path(path, 1))
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    with pytest.raises(OSError, match="stop"), atomic_write(path):
        raise OSError("stop")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_without_locks_a_file_counts_as_free(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    descriptor = os.open(tmp_path / "a", os.O_CREAT | os.O_RDWR)
    assert lock(descriptor)
    os.close(descriptor)


HOLD_FOLDER = HOLD.replace("import atomic_write", "import atomic_folder as atomic_write").replace(
    "partial.write_text", '(partial / "b.txt").write_text'
)


def contents(folder):
    return {entry.relative_to(folder).as_posix(): entry.read_text() for entry in folder.rglob("*") if entry.is_file()}


def write_folder(path, text):
    with atomic_folder(path) as partial:
        (partial / "b").mkdir()
        (partial / "b" / "c.txt").write_text(text)


def test_a_folder_replaces_the_one_that_is_there(tmp_path):
    write_folder(tmp_path / "a", "first")
    (tmp_path / "a" / "more.txt").touch()
    write_folder(tmp_path / "a", "second")
    assert contents(tmp_path) == {"a/b/c.txt": "second"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_an_error_leaves_the_folder_as_it_was(tmp_path):
    write_folder(tmp_path / "a", "before")

    def fail():
        with atomic_folder(tmp_path / "a") as partial:
            (partial / "half.txt").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert contents(tmp_path) == {"a/b/c.txt": "before"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OutputError, match="a: it cannot be written"):
        write_folder(tmp_path / "a", "new")
    assert contents(tmp_path) == {"a": "a file"}


def test_two_processes_write_one_folder_and_a_killed_one_leaves_nothing(tmp_path):
    path = tmp_path / "a"
    command = [sys.executable, "-c", HOLD_FOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        remove_partial(path)
        assert ".a.partial.new/b.txt" in contents(tmp_path)
        write_folder(path, "ours")
        assert ".a.partial.new/b.txt" in contents(tmp_path)
        process.kill()
    remove_partial(path)
    assert contents(tmp_path) == {"a/b/c.txt": "ours"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
