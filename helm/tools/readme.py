"""The chart's README: a table of all values, from the sentences in ``values.yaml``.

``python -m helm.tools.readme`` writes it, ``--check`` compares.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from helm.tools.values import CHART, documented

__all__ = ["README", "render"]

README: Final = CHART / "README.md"
_HEAD: Final = """\
# Chart `cardiomesh`

Gateway, preprocessor, explainer and NVIDIA Triton on Kubernetes 1.29 or newer. How to install, upgrade and run it:
[docs/operations.md](../../docs/operations.md). This file is generated: `make helm-docs`.

| profile | for |
|---|---|
| [values-trial.yaml](values-trial.yaml) | one of each part, a Valkey in the chart: to look at it |
| [values-cpu.yaml](values-cpu.yaml) | production without a GPU |
| [values-gpu-t4.yaml](values-gpu-t4.yaml) | one T4 per Triton pod |
| [values-gpu-a100.yaml](values-gpu-a100.yaml) | one MIG slice of an A100 per Triton pod |
| [values-airgapped.yaml](values-airgapped.yaml) | one internal registry, models in an image, given certificates |

Not in the chart, because the services do not have it: authentication, an SQL store and its migrations, audit.
Redis, Prometheus, Grafana, an OTLP collector and cert-manager are the cluster's own; the chart finds them by values.

Values are checked by [values.schema.json](values.schema.json); `settings` of a service takes exactly the settings that
the service knows.

## Values
"""


def _shown(default: Any) -> str:
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 60 else "see values.yaml"


def render() -> str:
    """The README's text."""
    lines = [_HEAD]
    section = ""
    for value in documented():
        head = value.path[0] if len(value.path) > 1 else "general"
        if head != section:
            lines.append(f"\n### {head}\n\n| value | default | what it is |\n|---|---|---|")
            section = head
        sentence = value.sentence.replace("|", "\\|")
        lines.append(f"| `{'.'.join(value.path)}` | {_shown(value.default)} | {sentence} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def main() -> None:
    """Write, or with ``--check`` compare."""
    if sys.argv[1:] == ["--check"]:
        if README.read_text(encoding="utf-8") != render():
            sys.exit("helm/cardiomesh/README.md is not what values.yaml says: make helm-docs")
        return
    README.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
