"""Workers of a cluster that die, refuse or fail, and what the run makes of it; no image is segmented."""

import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from flowmask.cluster.address import LOCAL_SETTINGS, LocalWorkers, check_address, local_workers
from flowmask.errors import NetworkError, RunError, SettingsError
from flowmask.options import Options, Runtime
from flowmask.runs.executor import ExecutorLost
from flowmask.runs.jobs import Job
from flowmask.runs.process import Preparation
from flowmask.runs.record import DONE, FAILED
from tests.reference.later import later

distributed = later("distributed", "the extra `cluster` is not installed")
pytestmark = pytest.mark.slow

LIMIT = 2**30


@pytest.fixture(scope="module")
def client():
    import dask

    distributed()  # loads its settings: those that are changed before are lost with all others afterwards
    with (
        dask.config.set(LOCAL_SETTINGS),
        distributed().LocalCluster(
            n_workers=2, threads_per_worker=2, memory_limit=LIMIT, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed().Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "n.onnx"
    path.write_bytes(b"the network")
    return path


def run(client, network, function, names, runtime=Runtime(), report=lambda _: None, threads=0, **arguments):  # noqa: B008
    from flowmask.cluster.executor import over_workers

    options = asdict(Options(runtime=runtime))
    arguments |= {"models": [str(network)], "targets": [], "options": options}
    prepare = Preparation("tests.cluster.workers", function, arguments)
    jobs = [Job(Path(name), Path(f"out/{name}_label.tiff")) for name in names]
    return list(over_workers(client, prepare, jobs, report, threads, local=2))


def tries(folder, name):
    return len(list(folder.glob(f"{name}-*")))


def test_an_image_whose_worker_is_killed_is_done_elsewhere(client, network, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    outcomes = run(client, network, "dying", "abcdefgh", at=["b", "g"], times=1, marks=str(marks))
    assert {(one.file, one.status) for one in outcomes} == {(name, DONE) for name in "abcdefgh"}
    assert len(outcomes) == 8
    assert [tries(marks, name) for name in "bg"] == [2, 2]
    assert outcomes[0].labels == (f"out/{outcomes[0].file}_label.tiff",)


def test_an_image_that_kills_every_worker_costs_itself_alone(client, network, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    outcomes = run(client, network, "dying", "abcdefgh", at=["b"], times=1000, marks=str(marks))
    assert {one.file: one.status for one in outcomes} == {name: FAILED if name == "b" else DONE for name in "abcdefgh"}
    assert len(outcomes) == 8
    (failed,) = (one for one in outcomes if one.status == FAILED)
    assert failed.reason.startswith("b: each worker that segmented this image ended, probably because memory ran out")


@pytest.mark.parametrize("killed", [False, True])
def test_a_frame_that_ends_the_process_costs_itself_alone(client, network, killed):
    first, second, third = run(client, network, "series", "s", killed=killed)
    assert [(one.frame, one.status) for one in (first, second, third)] == [
        ("t001", DONE), ("t002", FAILED), ("t003", DONE)
    ]  # fmt: skip
    assert first.cells != third.cells
    assert second.reason.startswith("s: frame t002: each worker" if killed else "the GPU failed")


def test_workers_that_do_not_start_again_end_the_run(network, monkeypatch):
    from flowmask.cluster.executor import over_workers

    monkeypatch.setattr("flowmask.cluster.executor.PATIENCE", 0.0)
    monkeypatch.setattr("distributed.LocalCluster.scale", lambda self, count: None)

    prepare = Preparation("tests.cluster.workers", "raising", {"models": [network], "targets": [], "options": {}})
    with (
        distributed().LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        distributed().Client(cluster, set_as_default=False) as client,
        pytest.raises(ExecutorLost, match="the workers of the cluster ended and do not start again"),
    ):
        list(over_workers(client, prepare, [Job(Path("a"), Path("a_label.tiff"))], lambda _: None, local=2))


def test_a_network_that_a_worker_cannot_open_ends_the_run(client, network):
    with pytest.raises(NetworkError, match="n.onnx: no"):
        run(client, network, "refused", "abc")


def test_another_network_at_the_same_path_is_told(client, network, monkeypatch):
    monkeypatch.setattr("flowmask.cluster.executor.digest", lambda path: "of this machine")
    with pytest.raises(RunError, match="has another file at .*n.onnx than this machine"):
        run(client, network, "asked", "abc")


def test_another_version_is_told(client, network, monkeypatch):
    monkeypatch.setattr("flowmask.cluster.worker.__version__", "0.0")
    with pytest.raises(RunError, match="and this machine has 0.0; install the same version on all machines"):
        run(client, network, "asked", "abc")


def test_an_unexpected_error_costs_one_image(client, network):
    outcomes = {one.file: one for one in run(client, network, "raising", "abc")}
    assert {name: one.status for name, one in outcomes.items()} == {"a": DONE, "b": FAILED, "c": DONE}
    assert outcomes["b"].reason.startswith("b: the cluster could not run this image (of a library)")
    assert "ZeroDivisionError" in outcomes["b"].trace


def test_threads_and_memory_are_those_of_the_worker_unless_given(client, network):
    assert {one.reason for one in run(client, network, "asked", "ab")} == {f"2 {int(0.8 * LIMIT)}"}
    less, more = Runtime(memory="0.5G"), Runtime(memory="900G")  # Dask ends a worker that takes more than it has
    assert {one.reason for one in run(client, network, "asked", "ab", less, threads=5)} == {f"5 {2**29}"}
    assert {one.reason for one in run(client, network, "asked", "ab", more)} == {f"2 {int(0.8 * LIMIT)}"}


def test_progress_names_the_image_as_it_was_given(client, network):
    seen = []
    run(client, network, "asked", "a", report=seen.append)
    assert [(at.file, at.fraction) for at in seen] == [("a", 0.5)]


def test_the_network_is_opened_once_a_worker_and_images_do_not_share_a_process(client, network, tmp_path):
    """The workers have two threads each, and Dask gives them two images at a time."""
    outcomes = run(client, network, "counting", "abcdefghijkl", marks=str(tmp_path))
    assert [one.cells for one in outcomes] == [1] * 12
    assert len(list(tmp_path.glob("opened-*"))) <= 2


def test_few_images_are_submitted_at_a_time(client, network, tmp_path, monkeypatch):
    most = []
    submit = distributed().Client.submit

    def counted(self, *args, **kwargs):
        most.append(sum(state.status == "pending" for state in self.futures.values()))
        return submit(self, *args, **kwargs)

    monkeypatch.setattr(distributed().Client, "submit", counted)
    assert len(run(client, network, "counting", [f"i{number}" for number in range(60)], marks=str(tmp_path))) == 60
    assert max(most) < 8
    assert len(most) == 60


WITHOUT_FLOWMASK = "import sys; sys.modules['flowmask'] = None; from distributed.cli.dask_worker import main; main()"


def test_a_worker_without_flowmask_that_comes_later_is_named_and_gets_no_work(network, tmp_path, caplog):
    from flowmask.cluster.executor import over_workers

    arguments = {"models": [str(network)], "targets": [], "options": asdict(Options())}
    prepare = Preparation("tests.cluster.workers", "named", arguments)
    jobs = [Job(Path(f"i{number}"), Path(f"out/i{number}_label.tiff")) for number in range(40)]
    with (
        distributed().LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed().Client(cluster, set_as_default=False) as client,
    ):
        outcomes = over_workers(client, prepare, jobs, lambda _: None)
        first = next(outcomes)
        words = (cluster.scheduler_address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        late = subprocess.run([sys.executable, "-c", WITHOUT_FLOWMASK, *words], stderr=subprocess.DEVNULL, timeout=120)
        assert late.returncode == 1
        rest = [*outcomes]
        end = time.monotonic() + 30
        while "ended while it started" not in caplog.text and time.monotonic() < end:
            time.sleep(0.1)
    assert {(one.status, one.reason) for one in (first, *rest)} == {(DONE, "0")}
    assert len(rest) == 39
    assert re.search(r"the worker tcp://127.0.0.1:\d+ ended while it started, so the others do its work; ", caplog.text)


@pytest.mark.parametrize(("device", "expected"), [("cuda", {"gpu"}), ("auto", {"cpu", "gpu"})])
def test_a_run_on_gpus_uses_the_workers_that_offer_them(network, device, expected):
    workers = {
        name: {"cls": distributed().Worker, "options": {"nthreads": 1, "name": name, "resources": resources}}
        for name, resources in {"cpu": {}, "gpu": {"GPU": 1}}.items()
    }
    scheduler = {"cls": distributed().Scheduler, "options": {"dashboard_address": ":0", "port": 0}}
    with (
        distributed().SpecCluster(workers=workers, scheduler=scheduler, silence_logs=50) as cluster,
        distributed().Client(cluster, set_as_default=False) as client,
    ):
        outcomes = run(client, network, "named", [f"i{number}" for number in range(12)], Runtime(device=device))
    assert {outcome.reason for outcome in outcomes} == expected
    assert len(outcomes) == 12


def test_a_cluster_that_adapts_to_its_tasks_starts_without_workers(network):
    from flowmask.cluster.executor import over_workers

    arguments = {"models": [str(network)], "targets": [], "options": asdict(Options())}
    prepare = Preparation("tests.cluster.workers", "named", arguments)
    jobs = [Job(Path(f"i{number}"), Path(f"out/i{number}_label.tiff")) for number in range(5)]
    with (
        distributed().LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed().Client(cluster, set_as_default=False) as client,
    ):
        cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=50)
        outcomes = list(over_workers(client, prepare, jobs, lambda _: None))
    assert sorted(outcome.file for outcome in outcomes) == [f"i{number}" for number in range(5)]


def test_nothing_is_left_on_the_cluster(client, network, tmp_path):
    before = set(client.futures)
    run(client, network, "counting", "abc", marks=str(tmp_path))
    plugins = client.run(lambda dask_worker: [name for name in dask_worker.plugins if name.startswith("flowmask")])
    assert list(plugins.values()) == [[]] * len(plugins)
    assert set(client.futures) <= before


@pytest.mark.parametrize(
    "text", ["local:0", "local:", "host:8786", "locally", "local:2x", "", "tcp://host", "foo://x:1", "http://host:8786"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(SettingsError, match="is not the address of a cluster; give that of a Dask scheduler"):
        check_address(text)


def test_local_workers_share_the_machine(monkeypatch):
    monkeypatch.setattr("flowmask.cluster.address.cores", lambda: 8)
    monkeypatch.setattr("flowmask.cluster.address.available_memory", lambda: 10 * 2**30)
    share = 10 * 2**30
    assert local_workers("local:4", Runtime()) == LocalWorkers(4, 2, share // 4)
    assert local_workers("local", Runtime()) == LocalWorkers(5, 1, share // 5)
    assert local_workers("local", Runtime(threads=4)) == LocalWorkers(2, 4, share // 2)
    assert local_workers("local:1", Runtime(memory="4G")) == LocalWorkers(1, 8, 5 * 2**30)
    assert local_workers("tcp://scheduler:8786", Runtime()) is None
    with pytest.raises(
        SettingsError, match="local:3000 leaves 3 MiB of memory to each process; give at most local:20 "
    ):
        local_workers("local:3000", Runtime())


def test_without_dask_one_sentence_names_the_command(monkeypatch, network):
    monkeypatch.setattr("flowmask.cluster.address.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r'run: pip install "flowmask\[cluster\]"'):
        run(None, network, "asked", "a")
    assert os.path.exists(network)
