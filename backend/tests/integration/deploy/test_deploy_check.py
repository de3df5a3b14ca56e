"""What reads the files of a deployment reads them: hadolint, the schema of Compose, Helm, the schemas of Kubernetes.

The tools are installed into ``.tools/deploy`` when they are not there yet. Where that cannot be done, the tests skip with
the reason; in CI (``CI=true``) they fail.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dockerfile import ROOT, read_dockerfile
from tests.support.limits import INSTALL_SECONDS
from typer.main import get_command

from agentroute.cli import app
from agentroute.metrics.process_port import STALLED_SECONDS
from core.config import Settings, WorkerSettings

pytestmark = pytest.mark.slow
_SCRIPT = ROOT / "script" / "deploy-check"
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def tools() -> Path:
    done = _run([str(_SCRIPT), "--install"])
    if done.returncode:
        reason = f"the tools cannot be installed: {done.stderr[-300:]}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return ROOT / ".tools" / "deploy" / "bin"


@pytest.fixture(scope="module")
def rendered(tools: Path) -> dict[str, list[Manifest]]:
    """The manifests by variant."""
    chart = str(ROOT / "deploy" / "helm" / "agentroute")
    done = _run([str(tools / "python"), "-P", str(ROOT / "script" / "helm_check.py"), chart, "--render"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )


def test_every_file_is_taken(tools: Path) -> None:
    done = _run([str(_SCRIPT)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert tools.is_dir()


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("templates/api.yaml", ("containerPort: 8000", "containerPort: none")),
        ("templates/worker.yaml", ("terminationGracePeriodSeconds", "terminationGraceSeconds")),
        ("templates/network.yaml", ("{{- end }}", "")),
    ],
)
def test_a_chart_with_a_fault_is_refused(
    tools: Path, tmp_path: Path, file: str, fault: tuple[str, str]
) -> None:
    chart = tmp_path / "agentroute"
    shutil.copytree(ROOT / "deploy" / "helm" / "agentroute", chart)
    text = (chart / file).read_text()
    assert fault[0] in text
    (chart / file).write_text(text.replace(*fault, 1))

    done = _run([str(tools / "python"), "-P", str(ROOT / "script" / "helm_check.py"), str(chart)])

    assert done.returncode != 0


def _of(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


def _pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    for each in manifests:
        if each["kind"] in ("Deployment", "Job"):
            yield each["spec"]["template"]["spec"]


def test_pods_are_the_image_with_its_user_and_no_more_rights(rendered: dict[str, list[Manifest]]) -> None:
    user, group = map(int, read_dockerfile()[-1].last("USER").text.split(":"))
    for manifests in rendered.values():
        assert list(_pods(manifests))
        for pod in _pods(manifests):
            security = pod["securityContext"]
            assert (security["runAsUser"], security["runAsGroup"]) == (user, group)
            assert security["runAsNonRoot"] is True
            assert pod["automountServiceAccountToken"] is False
            [container] = pod["containers"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_arguments_are_commands_and_variables_are_settings(rendered: dict[str, list[Manifest]]) -> None:
    commands = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]  a group, as it has commands
    sections = set(Settings.model_fields)
    for manifests in rendered.values():
        for pod in _pods(manifests):
            [container] = pod["containers"]
            command, *options = container["args"]
            known = {option for parameter in commands[command].params for option in parameter.opts}
            assert {option for option in options if option.startswith("--")} <= known
            for variable in container.get("env", []):
                name = variable["name"].removeprefix("AGENT_").lower().partition("__")[0]
                assert variable["name"] == "PYTHONPATH" or name in sections, variable


def test_processes_may_drain(rendered: dict[str, list[Manifest]]) -> None:
    settings = Settings()
    drains = {"api": settings.server.drain_seconds + 5, "worker": settings.worker.drain_seconds}
    for deployment in _of(rendered["plain"], "Deployment"):
        component = deployment["metadata"]["labels"]["app.kubernetes.io/component"]
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > drains[component]
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_selectors_find_their_own_pods_and_no_others(rendered: dict[str, list[Manifest]]) -> None:
    manifests = rendered["everything"]
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"].items()
        for each in (*_of(manifests, "Deployment"), *_of(manifests, "Job"))
    }

    def found(selector: dict[str, str]) -> list[str]:
        return [name for name, own in labels.items() if selector.items() <= own]

    [service] = _of(manifests, "Service")
    assert found(service["spec"]["selector"]) == ["shop-api"]
    for each in (*_of(manifests, "Deployment"), *_of(manifests, "PodDisruptionBudget")):
        assert found(each["spec"]["selector"]["matchLabels"]) == [each["metadata"]["name"]]
    for each in _of(manifests, "NetworkPolicy"):
        assert found(each["spec"]["podSelector"]["matchLabels"]) == [each["metadata"]["name"]]
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in _of(manifests, "HorizontalPodAutoscaler")]
    assert scaled == ["shop-api", "shop-worker"]
    assert all("replicas" not in each["spec"] for each in _of(manifests, "Deployment"))


def test_the_migration_comes_before_and_takes_nothing_of_the_release(
    rendered: dict[str, list[Manifest]],
) -> None:
    [job] = _of(rendered["plain"], "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    # On the first install there is no account of the release yet.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    assert _of(rendered["little"], "Job") == []


def test_the_ingress_lets_streams_and_uploads_through(rendered: dict[str, list[Manifest]]) -> None:
    settings = Settings()
    [ingress] = _of(rendered["everything"], "Ingress")
    told = {
        name.rpartition("/")[2]: value
        for name, value in ingress["metadata"]["annotations"].items()
        if name.startswith("nginx.")
    }
    assert told["proxy-buffering"] == "off"
    assert float(told["proxy-read-timeout"]) > 2 * settings.stream.heartbeat_seconds
    largest = max(settings.files.max_file_bytes, settings.transcription.max_audio_bytes)
    assert int(told["proxy-body-size"].removesuffix("m")) << 20 > largest


def _rules(manifests: list[Manifest]) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["spec"].get("ingress") for each in _of(manifests, "NetworkPolicy")}


def test_only_the_api_takes_connections_and_prometheus_reads(rendered: dict[str, list[Manifest]]) -> None:
    api = [{"ports": [{"port": "http"}]}]
    assert _rules(rendered["plain"]) == {"shop-api": api, "shop-worker": None, "shop-migrate": None}
    reads = [
        {
            "ports": [{"port": "metrics"}],
            "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        }
    ]
    assert _rules(rendered["everything"]) == {
        "shop-api": [*api, *reads],
        "shop-worker": reads,
        "shop-migrate": None,
    }


def test_every_process_is_asked_whether_it_lives_at_a_port_that_it_has(
    rendered: dict[str, list[Manifest]],
) -> None:
    for deployment in _of(rendered["plain"], "Deployment"):
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        variables = {each["name"]: each["value"] for each in container["env"]}
        assert str(ports["metrics"]) == variables["AGENT_METRICS__PORT"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_worker_that_stalls_ends_itself_before_its_supervisor_does(
    rendered: dict[str, list[Manifest]],
) -> None:
    for name in ("plain", "everything"):
        (worker,) = [
            each for each in _of(rendered[name], "Deployment") if each["metadata"]["name"].endswith("-worker")
        ]
        probe = worker["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]
        told = STALLED_SECONDS + probe["periodSeconds"] * (probe["failureThreshold"] - 1)
        assert told > WorkerSettings().stall_seconds
