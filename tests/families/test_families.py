"""The table of families: what a contract gets, and which options a family refuses."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import flowmask
from flowmask.errors import NetworkError, SettingsError
from flowmask.families import COMMON, FAMILIES, Family, check_options, family_of, preload
from flowmask.labels.paths import LABEL_SUFFIXES
from flowmask.network.contract import from_metadata
from flowmask.options import Segmentation
from tests.reference.plans import BOXES, COMPARTMENTS, FLOW, SEMANTIC

CONTRACTS = {"boxes": BOXES, "flow": FLOW, "semantic": SEMANTIC, "watershed": COMPARTMENTS}
OTHER = {
    "diameter": 25.0,
    "pixel_size": 0.5,
    "channels": (1, 2, 3),
    "plane": 2,
    "project": "max",
    "augment": True,
    "skip_noise_check": True,
    "flow_threshold": 0.2,
    "cellprob_threshold": 1.0,
    "watershed_thresholds": "release",
    "compartment": "nuclear",
    "score_threshold": 0.5,
    "min_size": 3,
}


def test_each_family_is_known_by_its_key():
    assert CONTRACTS.keys() == FAMILIES.keys()
    for contract in CONTRACTS.values():
        assert isinstance(family_of(contract), Family)
    assert family_of(FLOW) is not family_of(SEMANTIC)


def test_a_family_that_this_version_does_not_know_is_refused():
    """The contract is read: it may be of a newer release."""
    other = dataclasses.replace(FLOW, family="other")
    assert from_metadata(other.to_metadata(), "n.onnx") == other

    class Network:
        contract = other
        gpu_memory = None
        count = 1

    with pytest.raises(
        NetworkError,
        match=r"the network 'fake' has the family 'other' but .* only boxes, flow, semantic, watershed; install",
    ):
        family_of(other)
    with pytest.raises(NetworkError, match=r"^/a/n.onnx: the network 'fake' has the family 'other'"):
        family_of(other, Path("/a/n.onnx"))
    with pytest.raises(NetworkError, match="has the family 'other'"):
        flowmask.segment(np.zeros((20, 20), np.uint8), Network())


@pytest.mark.parametrize("family", CONTRACTS)
def test_every_option_is_one_of_all_families_or_of_some(family):
    names = {field.name for field in dataclasses.fields(Segmentation)}
    own = family_of(CONTRACTS[family]).options
    assert own <= names
    assert not own & COMMON
    assert names == OTHER.keys()


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("family", CONTRACTS)
def test_options_that_a_family_does_not_use_are_refused(family, name):
    micrometres = {"diameter": "12um"} if name == "pixel_size" else {}
    options = Segmentation(**micrometres, **{name: OTHER[name]})
    if name in COMMON | family_of(CONTRACTS[family]).options and (family, name) != ("boxes", "augment"):
        check_options(CONTRACTS[family], options)
        return
    assert (family, name) in {
        ("boxes", "augment"),
        ("boxes", "flow_threshold"),
        ("boxes", "watershed_thresholds"),
        ("flow", "score_threshold"),
        ("semantic", "score_threshold"),
        ("watershed", "score_threshold"),
        ("flow", "watershed_thresholds"),
        ("boxes", "compartment"),
        ("flow", "compartment"),
        ("semantic", "compartment"),
        ("semantic", "flow_threshold"),
        ("semantic", "watershed_thresholds"),
        ("watershed", "flow_threshold"),
        ("watershed", "cellprob_threshold"),
    }
    with pytest.raises(SettingsError, match=f"`{name}` has no effect on a network of the {family}"):
        check_options(CONTRACTS[family], options)
    check_options(CONTRACTS[family], Segmentation())


@pytest.mark.parametrize("family", CONTRACTS)
def test_what_a_family_holds_grows_with_the_width_and_not_with_the_height(family):
    held = family_of(CONTRACTS[family]).row_bytes
    one, wide, tall = (held(size, size) for size in ((4000, 4000), (4000, 8000), (16000, 4000)))
    assert tall == one
    assert wide == 2 * one > 0
    assert held((10, 4000), (10, 4000)) < one


@pytest.mark.parametrize("family", CONTRACTS)
def test_each_label_image_has_options_of_its_own_and_a_suffix_of_the_table(family):
    own = family_of(CONTRACTS[family]).label_sets
    assert own(Segmentation()) == {"": Segmentation()}
    sets = own(Segmentation(compartment="both", min_size=3))
    assert {*sets} <= {*LABEL_SUFFIXES}
    assert next(iter(sets)) == ""
    for options in sets.values():
        assert own(options) == {"": options}
        assert options.min_size == 3


def test_what_loads_slowest_can_be_loaded_before():
    preload()
