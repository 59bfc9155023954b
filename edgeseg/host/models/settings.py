"""What values a network's options may have; `--set` and a recipe take them from the user."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from edgeseg.errors import SpecError

# What the networks' options are, by name; `edgeseg models NAME` prints it.
MEANINGS = {
    "aspp": "L for rates 6, 12, 18, 24, S for 2, 4, 8, 12",
    "aspp_channels": "channels of each ASPP branch; fewer is faster",
    "atrous_rates": "gaps of the ASPP's atrous convolutions",
    "channels": "channels of every level; MACs grow with their square",
    "decoder_channels": "channels of the decoder; fewer is faster",
    "dropout": "share of features dropped while training; costs nothing later",
    "fc_channels": "channels of VGG16's fc6 and fc7",
    "kernel": "side of the convolutions, odd",
    "low_channels": "channels of the stride-4 map that the decoder joins",
    "output_stride": "how much smaller the deepest map is; 8 is finer and slower than 16",
    "unpool_stages": "how many levels un-pool by index",
    "upsampling": "how maps grow again: learnt or fixed in FCN, indices or bilinear in SegNet",
    "width": "factor of the encoder's channels; MACs grow with its square",
}


def network_options(network: type) -> dict[str, Any]:
    """Return the options of a network class and their defaults, None for the class's own choice."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(network).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check_settings(arch: str, options: Mapping[str, Any]) -> None:
    """Refuse values that no network could be built with, all at once.

    Args:
        arch: for the message.
        options: by name; those that no network has are its constructor's to refuse.

    Raises:
        SpecError: a count is no whole number of at least 1, a width no positive number, a dropout
            not in [0, 1), or the atrous rates no list of counts.
    """
    problems = [
        f"{name} is {value!r}, expected {expected}"
        for name, value in options.items()
        if (expected := _expected(name, value))
    ]
    if problems:
        raise SpecError(f"{arch}: {'; '.join(problems)}")


def _expected(name: str, value: Any) -> str:
    """Return what the option should be where it is not that, else nothing."""
    if name in ("kernel", "output_stride", "unpool_stages") or name.endswith("channels"):
        return "" if _is_count(value) else "a whole number of at least 1"
    if name == "width":
        return "" if _is_number(value) and value > 0 else "a number above 0"
    if name == "dropout":
        return "" if _is_number(value) and 0 <= value < 1 else "a number from 0 to below 1"
    if name == "atrous_rates":
        good = isinstance(value, (list, tuple)) and value and all(map(_is_count, value))
        return "" if good else "a list of whole numbers of at least 1, such as [6, 12, 18]"
    return ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
