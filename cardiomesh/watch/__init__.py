"""Is the mesh well? A known ECG through the whole path, again and again, and an alarm when the answer changes."""

from cardiomesh.watch.alarms import Alarms, Webhook
from cardiomesh.watch.baseline import Baseline
from cardiomesh.watch.checks import Check, Report, look
from cardiomesh.watch.known import RATE_HZ, known_ecg

__all__ = ["RATE_HZ", "Alarms", "Baseline", "Check", "Report", "Webhook", "known_ecg", "look"]
