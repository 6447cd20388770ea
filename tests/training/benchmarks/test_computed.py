"""What a service computed is read from its metrics; a server without any is loaded all the same."""

from __future__ import annotations

import httpx
import pytest

from training.benchmarks.computed import Computed, computed_by


def client_that_answers(status: int, text: str) -> httpx.Client:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=text))
    return httpx.Client(base_url="http://there", transport=transport)


METRICS = """# HELP uwe_stage_seconds Time of one stage of ranking.
uwe_stage_seconds_bucket{le="0.1",stage="encode"} 3.0
uwe_stage_seconds_sum{stage="encode"} 0.5
uwe_stage_seconds_sum{stage="wait"} 9.0
uwe_stage_seconds_sum{stage="explain"} 0.0
uwe_batch_queries_count 2.0
uwe_batch_queries_sum 20.0
"""


def test_it_is_read_from_the_metrics() -> None:
    with client_that_answers(200, METRICS) as client:
        found = computed_by(client)
    assert found == Computed(20, 2, {"encode": 0.5, "wait": 9.0, "explain": 0.0})
    assert found.in_words() == "10.0 a batch; ms a query: encode 25.00"
    later = Computed(50, 5, {"encode": 0.8, "wait": 9.0, "score": 0.6}).since(found)
    assert later.seconds == pytest.approx({"encode": 0.3, "wait": 0.0, "score": 0.6})
    assert later.in_words() == "10.0 a batch; ms a query: encode 10.00, score 20.00"
    assert found.since(found).in_words() == ""


@pytest.mark.parametrize(("status", "text"), [(404, METRICS), (200, "other_metric 1.0")])
def test_a_server_that_does_not_say_is_no_failure(status: int, text: str) -> None:
    with client_that_answers(status, text) as client:
        assert computed_by(client) is None
