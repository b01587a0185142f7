"""Analyse one ECG-shaped recording through a gateway and explain the answer; exit 0 when all of it holds.

Usage: python smoke.py ADDRESS [SECONDS]; each call may take SECONDS, 60 if not given.
The API key comes from CARDIOMESH_API_KEY, TLS files from CARDIOMESH_TLS_CA, _CERTIFICATE and _KEY.
"""

import os
import sys
from pathlib import Path

import numpy as np

from cardiomesh.client import Client
from cardiomesh.rpc.channel import TlsFiles

RATE_HZ = 500
#: P, Q, R, S and T of a textbook beat in lead II: seconds after the R wave, width in seconds, millivolts.
WAVES = ((-0.18, 0.025, 0.15), (-0.03, 0.010, -0.10), (0.0, 0.011, 1.1), (0.03, 0.011, -0.25), (0.28, 0.05, 0.30))
#: Leads I and III as shares of II, and V1 to V6; the other limb leads follow by Einthoven and Goldberger.
LEAD_I, LEAD_III = 0.6, 0.4
CHEST = (-0.45, 0.35, 0.7, 1.1, 1.0, 0.8)


def recording() -> np.ndarray:
    """Ten seconds at 72 beats a minute, millivolts, [12, 5000], with a little noise."""
    time = np.arange(10 * RATE_HZ) / RATE_HZ
    beat = (time + 0.4) % (60 / 72) - 0.4
    two = sum(height * np.exp(-0.5 * ((beat - at) / width) ** 2) for at, width, height in WAVES)
    one, three = LEAD_I * two, LEAD_III * two
    leads = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2, *(k * two for k in CHEST)]
    noise = np.random.default_rng(0).normal(0, 0.008, (12, time.size))
    return (np.stack(leads) + noise).astype(np.float32)


def main() -> None:
    """Ask, check, say what came."""
    ca, certificate, key = (os.environ.get(f"CARDIOMESH_TLS_{name}") for name in ("CA", "CERTIFICATE", "KEY"))
    tls = TlsFiles(Path(ca), Path(certificate) if certificate else None, Path(key) if key else None) if ca else None
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    signal = recording()
    with Client(sys.argv[1], tls=tls, timeout=seconds) as client:
        result = client.analyze(signal=signal, sampling_rate=RATE_HZ, unit="mV", bypass_cache=True)
        wrong = [code for code, p in result.probabilities.items() if not 0 < p < 1]
        if wrong or not result.probabilities:
            sys.exit(f"no probabilities, or some outside (0, 1): {wrong}")
        again = client.analyze(signal=signal, sampling_rate=RATE_HZ, unit="mV", bypass_cache=True)
        for code, p in result.probabilities.items():
            if abs(again.probabilities[code] - p) > 1e-4:
                sys.exit(f"{code}: asked twice, answered {p} and {again.probabilities[code]}")
        code = max(result.probabilities, key=lambda code: result.probabilities[code])
        why = client.explain(
            code,
            signal=signal,
            sampling_rate=RATE_HZ,
            unit="mV",
            model=result.model.name,
            model_version=result.model.version,
        )
        if not why.attributions:
            sys.exit(f"no explanation of {code}")
    print(f"{result.model.name} version {result.model.version}: {code} {result.probabilities[code]:.3f}, explained")


if __name__ == "__main__":
    main()
