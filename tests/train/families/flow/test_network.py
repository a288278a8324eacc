"""The network's size and shapes are those of the reference."""

import pytest

torch = pytest.importorskip("torch")

from flowmask.errors import NetworkError  # noqa: E402
from train.checkpoint import load, parameters, save  # noqa: E402
from train.families.flow.network import FULL, HALF, FlowNetwork  # noqa: E402


@pytest.mark.parametrize(
    ("channels", "widths", "count"), [(2, FULL, 6_600_843), (3, FULL, 6_601_167), (3, HALF, 1_654_511)]
)
def test_number_of_parameters(channels, widths, count):
    assert parameters(FlowNetwork(channels, widths)) == count


def test_shapes_and_style():
    network = FlowNetwork(2, (4, 8, 8, 16)).eval()
    maps, style = network(torch.randn(3, 2, 48, 80))
    assert maps.shape == (3, 3, 48, 80)
    assert style.shape == (3, 16)
    torch.testing.assert_close(style.norm(dim=1), torch.ones(3))


def test_checkpoint_round_trip(tmp_path):
    network = FlowNetwork(2, (4, 8, 8, 16)).eval()
    save(tmp_path / "a.pt", network, about={"licence": "x"}, size=None)
    again, extras = load(tmp_path / "a.pt")
    image = torch.randn(1, 2, 32, 32)
    torch.testing.assert_close(again(image)[0], network(image)[0], rtol=0, atol=0)
    assert extras == {"about": {"licence": "x"}, "size": None}


def test_checkpoints_of_the_first_releases_record_no_family(tmp_path):
    network = FlowNetwork(2, (4, 8, 8, 16)).eval()
    torch.save(
        {"channels": 2, "widths": (4, 8, 8, 16), "weights": network.state_dict(), "size": None}, tmp_path / "a.pt"
    )
    again, extras = load(tmp_path / "a.pt")
    assert (again.family, again.architecture, again.multiple) == ("flow", "cpnet", 8)
    assert extras == {"size": None}


@pytest.mark.parametrize(("field", "value"), [("family", "voronoi"), ("architecture", "transformer")])
def test_a_checkpoint_of_an_unknown_kind_is_named(tmp_path, field, value):
    network = FlowNetwork(2, (4, 8, 8, 16))
    setattr(network, field, value)
    save(tmp_path / "a.pt", network)
    with pytest.raises(NetworkError, match=f"a.pt: .*{value}"):
        load(tmp_path / "a.pt")
