"""A folder in which every third file is broken: `bench.trust.broken` with fewer files."""

import pytest

from bench.trust.broken import by_hand, problems
from flowmask.network.registry import default_network

MODEL = default_network()

FILES = 48


@pytest.mark.slow
@pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is missing")
def test_every_third_file_is_broken_in_a_way_of_its_own(tmp_path):
    assert len(list(by_hand())) < FILES // 3
    assert problems(tmp_path, FILES) == []
