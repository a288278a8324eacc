"""Scores during training."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flowmask.errors import SettingsError  # noqa: E402
from train import validate  # noqa: E402
from train.data.prepared import write_sample  # noqa: E402
from train.data.readers import read_shared  # noqa: E402
from train.families.flow.network import FlowNetwork  # noqa: E402
from train.recipes.template import RECIPE  # noqa: E402
from train.run import contract_in_training  # noqa: E402
from train.validate import Validation  # noqa: E402

CONTRACT = contract_in_training(RECIPE)


def test_validation_takes_the_first_images_with_cells_of_each_source(tmp_path):
    labels = np.zeros((20, 20), np.int32)
    labels[4:14, 4:14] = 1
    for number in range(5):
        for source, empty in (("late", number < 3), ("full", False)):
            truth = labels * (not empty)
            write_sample(tmp_path / source, str(number), np.uint8(200 * truth + number), truth)
    write_sample(tmp_path / "none", "0", np.uint8(labels), 0 * labels)
    items = read_shared(tmp_path)
    line = Validation(items, CONTRACT, 2, rescale=True)(FlowNetwork(3, (4, 4, 8, 8)).eval())
    assert re.fullmatch(r"F1 0\.\d{3}  \(full 0\.\d\d  late 0\.\d\d\)", line)
    with pytest.raises(SettingsError, match="none of the held-out images has a cell"):
        Validation([item for item in items if item.source == "none"], CONTRACT, 2, rescale=True)


@pytest.mark.parametrize("rescale", [True, False])
def test_images_are_rescaled_by_their_true_diameter_or_keep_their_scale(tmp_path, monkeypatch, rescale):
    labels = np.zeros((40, 40), np.int32)
    labels[4:24, 4:24] = 1
    write_sample(tmp_path / "a", "0", np.uint8(200 * labels), labels)
    given = []
    engine = validate.segment_image
    monkeypatch.setattr(validate, "segment_image", lambda *args: given.append(args[2].diameter) or engine(*args))
    Validation(read_shared(tmp_path), CONTRACT, 2, rescale)(FlowNetwork(3, (4, 4, 8, 8)).eval())
    assert given == [pytest.approx(40 / np.sqrt(np.pi)) if rescale else CONTRACT.mean_diameter]
