"""Telemetry: what the machine says about itself and about this process. Absent is None, never 0."""

from __future__ import annotations

from edgeseg.runtime.telemetry.board import board, fingerprint, is_jetson
from edgeseg.runtime.telemetry.memory import pss_bytes
from edgeseg.runtime.telemetry.power import power_w
from edgeseg.runtime.telemetry.readings import ROOT
from edgeseg.runtime.telemetry.sampler import Measurement, Sample, Telemetry
from edgeseg.runtime.telemetry.thermal import temperature_c

__all__ = [
    "ROOT",
    "Measurement",
    "Sample",
    "Telemetry",
    "board",
    "fingerprint",
    "is_jetson",
    "power_w",
    "pss_bytes",
    "temperature_c",
]
