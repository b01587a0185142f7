"""What the gateway's image does not hold must not be imported there."""

from __future__ import annotations

import subprocess
import sys

#: Installed here, and in no gateway's image (pyproject.toml, extra ``gateway``).
NOT_THERE = ("scipy", "onnxruntime", "pydicom", "ecgdatakit", "matplotlib", "torch", "onnx", "pandas", "sklearn")


def test_the_gateway_needs_no_package_of_the_other_services() -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({NOT_THERE!r})); import gateway.__main__"
    ran = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
