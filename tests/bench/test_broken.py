"""A folder in which every third file is broken: check 2 of `bench.broken`, on fewer files."""

import pytest
from flowmask.cli import MODEL

from bench.broken import by_hand, complaints

FILES = 48


@pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is not built")
def test_every_third_file_is_broken_in_a_way_of_its_own(tmp_path):
    assert len(list(by_hand())) < FILES // 3
    assert complaints(tmp_path, FILES) == []
