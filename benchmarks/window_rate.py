"""Heart rate of a long recording's windows: from two leads at 100 Hz, against all twelve at their own rate.

    python -m benchmarks.window_rate [--records 120]

Records of PTB-XL fold 8 from CARDIOMESH_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.quality_roc import RATE, load
from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.delineation import delineate
from preprocessor.long.windows import heart_rate


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=120)
    count = parser.parse_args().records
    root = Path(os.environ.get("CARDIOMESH_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    signals, table = load(root)
    chosen = np.flatnonzero(table["strat_fold"].to_numpy() == 8)[:count]
    differences, spent = [], np.zeros(2)
    for number in chosen:
        x = signals[number] * 1e-3
        conditioned = condition(x, RATE)
        started = time.process_time()
        beats = delineate(x, RATE).beats
        between = time.process_time()
        rate = heart_rate(conditioned)
        spent += between - started, time.process_time() - between
        if rate is not None and len(beats) > 2:
            differences.append(abs(rate - 60 * RATE / float(np.median(np.diff(beats)))))
    within = sum(difference <= 1 for difference in differences)
    print(
        f"{len(chosen)} records, {len(differences)} with a rate: within 1/min in {within}, "
        f"at most {max(differences):.1f} off"
    )
    print("CPU ms: twelve leads {:.1f}, two leads {:.1f}".format(*(spent / len(chosen) * 1e3)))


if __name__ == "__main__":
    main()
