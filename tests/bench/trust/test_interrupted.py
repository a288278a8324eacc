"""Interrupted runs: `bench.trust.faults` with one run for each fault and a small image."""

import pytest

from bench.trust.faults import FAULTS, measured, text
from flowmask.network.registry import default_network

MODEL = default_network()


@pytest.mark.slow
@pytest.mark.skipif(not MODEL.exists(), reason=f"the network {MODEL.name} is missing")
def test_one_run_of_each_fault_passes():
    record = measured(each=1, kills=1, side=300, seed=0)
    findings = [*record["findings"], *record["image_findings"]]
    assert [finding["fault"] for finding in findings] == [*FAULTS, "kill -9"]
    assert [finding for finding in findings if not finding["passed"]] == []
    assert "5 of 5 passed" in text(record)
    assert "1 of 1 passed" in text(record)
