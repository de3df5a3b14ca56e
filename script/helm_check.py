"""Lints a Helm chart by Helm's own library, renders it, and shows each manifest to the schemas of Kubernetes.

``helm_check.py CHART`` checks; ``helm_check.py CHART --render`` prints what it renders with the values of ``VARIANTS``, as
JSON, for the tests. It runs in the environment of ``script/deploy-check``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

# Not in the project's environment, where this file is checked.
helm: Any = importlib.import_module("helm_python") if __name__ == "__main__" else None
kubernetes: Any = importlib.import_module("kubernetes_validate") if __name__ == "__main__" else None
yaml: Any = importlib.import_module("yaml") if __name__ == "__main__" else None

KUBERNETES = ("1.25", "1.31", "1.37")
"""Versions whose schemas count: the oldest that the chart takes, and later ones."""
_INFORMATION = 1
_SCALED = {"autoscaling": {"enabled": True}}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {"AGENT_MODEL__NAME": "gpt-5-mini", "AGENT_LIMITS__USER_COST_PER_DAY": 2},
        "existingProfile": "profile",
        "files": {"existingClaim": "files"},
        "ingress": {"enabled": True, "tlsSecret": "tls"},
        "api": {**_SCALED, "nodeSelector": {"kubernetes.io/os": "linux"}},
        "worker": {**_SCALED, "tolerations": [{"key": "agents", "operator": "Exists"}]},
        "metrics": {"from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "serviceAccount": {"annotations": {"example.com/role": "agents"}},
    },
    "little": {
        "migrate": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
    },
}


def rendered(chart: str, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the manifests of a release ``shop``."""
    for path, text in sorted(helm.Chart.load(chart).render(values, name="shop", namespace="shops").items()):
        if not path.endswith(".txt"):
            yield from (each for each in yaml.safe_load_all(text) if each)


def problems(chart: str) -> Iterator[str]:
    """Yield what Helm or Kubernetes would refuse."""
    for name, values in VARIANTS.items():
        report = helm.lint(chart, values, strict=True, with_subcharts=False)
        yield from report["errors"]
        yield from (m["error"] for m in report["messages"] if m["severity"] > _INFORMATION)
        for manifest in rendered(chart, values):
            for version in KUBERNETES:
                try:
                    kubernetes.validate(manifest, version, strict=True)
                except kubernetes.ValidationError as exc:
                    yield f"{name}: {manifest['kind']}, Kubernetes {version}: {exc.message}"


def main(chart: str, render: bool) -> int:
    """Check, or render."""
    if render:
        print(json.dumps({name: list(rendered(chart, values)) for name, values in VARIANTS.items()}))
        return 0
    found = list(problems(chart))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--render" in sys.argv[2:]))
