"""One page of the pages of several processes."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from agentroute.metrics.merged_page import is_page, merged_page

API = """# HELP agentroute_problems_total Answers with a problem document.
# TYPE agentroute_problems_total counter
agentroute_problems_total{code="not-found",status="404"} 2.0
# HELP agentroute_run_seconds From acceptance to the end.
# TYPE agentroute_run_seconds histogram
agentroute_run_seconds_bucket{le="1.0"} 0.0
agentroute_run_seconds_bucket{le="+Inf"} 1.0
agentroute_run_seconds_count 1.0
agentroute_run_seconds_sum 4.0
# HELP agentroute_build_info 1.
# TYPE agentroute_build_info gauge
agentroute_build_info{process="api",version="1"} 1.0
"""
WORKER = API.replace("2.0", "3.0").replace('process="api"', 'process="worker"')


def test_every_sample_is_there_with_its_process_and_every_family_once() -> None:
    page = merged_page({"api": API, "worker-2": WORKER}, "text/plain").content.decode()

    assert page.count("# TYPE agentroute_problems_total counter") == 1
    assert 'agentroute_problems_total{code="not-found",process="api",status="404"} 2.0' in page
    assert 'agentroute_problems_total{code="not-found",process="worker-2",status="404"} 3.0' in page
    assert 'agentroute_build_info{process="worker-2",version="1"} 1.0' in page
    families = {family.name: family for family in read_text(page)}
    assert len(families["agentroute_run_seconds"].samples) == 8
    samples = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for each in families.values()
        for sample in each.samples
    ]
    assert len(samples) == len(set(samples)) == 12


def test_both_formats_can_be_asked_for() -> None:
    wanted = "application/openmetrics-text; version=1.0.0"
    page = merged_page({"api": API, "worker": WORKER}, wanted)

    assert page.media_type.startswith("application/openmetrics-text")
    assert {family.name for family in read_openmetrics(page.content.decode())} == {
        "agentroute_problems",
        "agentroute_run_seconds",
        "agentroute_build_info",
    }


def test_what_is_no_page_is_known() -> None:
    assert is_page(API)
    assert not any(map(is_page, ("", "<html>{{{</html>", "<html>", "a b c d e", "# TYPE a gauge\na{ 1")))
