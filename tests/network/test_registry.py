"""The networks that ship, by name: the table agrees with the files, and a name that it lacks is refused."""

import hashlib
import tomllib

import pytest

import flowmask
from flowmask.errors import NetworkError
from flowmask.network import registry
from flowmask.network.registry import default_network, find_network, shipped_networks
from tests.conftest import ROOT, needs_network

NETWORKS = {network.name: network for network in shipped_networks()}


def test_names_are_known_and_one_is_the_default():
    assert list(NETWORKS) == ["small", "large"]
    assert len({network.file for network in NETWORKS.values()}) == len(NETWORKS)
    (default,) = (network for network in NETWORKS.values() if network.default)
    assert default_network() == default.path
    assert default.name == "small"


def test_the_package_holds_every_network():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {network.file for network in NETWORKS.values()} <= {
        *settings["tool"]["setuptools"]["package-data"]["flowmask.models"]
    }


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_each_file_is_the_one_of_the_table(network):
    if not network.path.is_file():
        pytest.skip(f"the network file {network.file} is missing")
    assert hashlib.sha256(network.path.read_bytes()).hexdigest() == network.sha256
    assert network.path.samefile(ROOT / "models" / network.file)
    contract = flowmask.load_network(network.name, device="cpu").contract
    assert contract.licence == network.licence
    assert 0.5 < network.f1 < 1
    assert network.about
    assert network.data


@needs_network
def test_a_name_a_path_and_a_file_that_is_called_as_a_network(tmp_path, monkeypatch):
    assert find_network("small") == NETWORKS["small"].path
    assert find_network(NETWORKS["small"].path) == NETWORKS["small"].path
    assert find_network(str(NETWORKS["small"].path)) == NETWORKS["small"].path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_bytes(b"mine")
    assert find_network("small").resolve() == tmp_path / "small"


@pytest.mark.parametrize("name", ["huge", "Small", "absent.onnx", "small.onnx"])
def test_a_name_that_is_not_in_the_table_is_refused(name):
    with pytest.raises(NetworkError, match=f"{name}: there is no such network file; .* a name: small, large"):
        find_network(name)
    with pytest.raises(NetworkError, match="there is no such network file"):
        flowmask.load_network(name)


def test_a_network_whose_file_is_not_installed_is_refused(tmp_path, monkeypatch):
    (tmp_path / "registry.toml").write_bytes((ROOT / "models/registry.toml").read_bytes())
    monkeypatch.setattr(registry, "FOLDERS", (tmp_path / "absent", tmp_path))
    assert [network.path for network in shipped_networks()] == [tmp_path / n.file for n in NETWORKS.values()]
    with pytest.raises(NetworkError, match="large: the file large.onnx of this network is not installed"):
        find_network("large")
