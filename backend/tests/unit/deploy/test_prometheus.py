"""The alert rules and the dashboard: what they name exists, and Prometheus' own tool takes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.promtool import promtool

from agentroute.metrics.exposition import Exposition
from agentroute.metrics.store_gauges import STORE_GAUGES
from core.metrics.catalogue import COUNTERS, HISTOGRAMS, PROCESS_GAUGES, STORE_UP

ROOT = Path(__file__).parents[4]
DEPLOY = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "agentroute.json").read_text())
PAGE = (ROOT / "docs" / "how-to" / "observability.md").read_text()

_NAME = re.compile(r"\bagentroute_[a-z_]+\b")
_SELECTOR = re.compile(r"\b(agentroute_[a-z_]+)\{([^}]*)\}")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!=|!~|=)")
_OF_SCRAPES = {"job", "instance"}

GAUGES = (*PROCESS_GAUGES, *(each.gauge for each in STORE_GAUGES))
LABELS: dict[str, set[str]] = {
    **{f"{counter.name}_total": set(counter.labels) for counter in COUNTERS},
    **{
        f"{histogram.name}_{part}": {*histogram.labels, *(["le"] if part == "bucket" else [])}
        for histogram in HISTOGRAMS
        for part in ("bucket", "count", "sum")
    },
    **{gauge.name: set(gauge.labels) for gauge in GAUGES},
}
"""Every sample that a process can show, with its labels."""

EXPRESSIONS: dict[str, str] = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_every_metric_and_label_that_is_named_exists(expression: str) -> None:
    named = set(_NAME.findall(expression))
    assert named <= LABELS.keys()
    for name, selector in _SELECTOR.findall(expression):
        assert set(_LABEL.findall(selector)) <= LABELS[name] | _OF_SCRAPES
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        allowed = _OF_SCRAPES.union(*(LABELS[name] for name in named))
        assert {label.strip() for label in labels.split(",")} <= allowed


def test_everything_that_is_counted_is_on_the_dashboard_and_in_the_documentation() -> None:
    shown = " ".join(EXPRESSIONS.values())
    documented = set(re.findall(r"^\| `(agentroute_[a-z_]+)`", PAGE, re.MULTILINE))
    names = {
        *(f"{counter.name}_total" for counter in COUNTERS),
        *(histogram.name for histogram in HISTOGRAMS),
        *(gauge.name for gauge in GAUGES),
    }
    assert documented == names
    assert {name for name in names if name not in shown} == set()


def test_the_documentation_names_the_labels() -> None:
    rows = re.findall(r"^\| `(agentroute_[a-z_]+)` \| ([^|]+) \|", PAGE, re.MULTILINE)
    for name, labels in rows:
        documented = set(re.findall(r"`([a-z_]+)`", labels))
        assert documented == (LABELS.get(name) or LABELS.get(f"{name}_bucket", set()) - {"le"}), name


def test_every_alert_says_what_happens_and_what_to_do() -> None:
    assert len(RULES) > 15
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["action"]


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    # One case for each alert in each test of promtool: the expected samples are none or one.
    cases = yaml.safe_load((DEPLOY / "alerts.test.yml").read_text())["tests"]
    fired: set[str] = set()
    silent: set[str] = set()
    for case in cases:
        for expected in case["promql_expr_test"]:
            [alert] = re.findall(r'alertname="(\w+)"', expected["expr"])
            (fired if expected["exp_samples"] else silent).add(alert)
    assert fired == silent == {rule["alert"] for rule in RULES}


def test_promtool_takes_the_rules() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", DEPLOY / "alerts.yml")


def test_promtool_sees_each_alert_fire_where_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", DEPLOY / "alerts.test.yml")


def test_promtool_takes_the_example_of_a_configuration() -> None:
    assert "SUCCESS" in promtool("check", "config", DEPLOY / "prometheus.yml")


@pytest.mark.parametrize("process", ["api", "worker"])
def test_promtool_finds_nothing_to_say_about_the_metrics(process: Any) -> None:
    exposition = Exposition(
        process,
        lambda: {
            gauge: lambda: 1.0 for gauge in PROCESS_GAUGES if not gauge.labels and gauge is not STORE_UP
        },
    )
    store = {each.gauge: {tuple("x" for _ in each.gauge.labels): 1.0} for each in STORE_GAUGES}
    page = exposition.page("", store if process == "api" else None).content
    ours = b"".join(line + b"\n" for line in page.splitlines() if b"agentroute_" in line)
    assert promtool("check", "metrics", given=ours) == ""
