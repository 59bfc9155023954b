"""Amounts as options give them: a share, a count, a ratio for each of some layers."""

from __future__ import annotations

import math
from typing import Any

import click

from edgeseg.errors import UsageError

UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}


class AmountType(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """A share up to 1, or a count such as 2.1G or 900M."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse the text into a share or a count."""
        text = str(value)
        scale = UNITS.get(text[-1:].upper(), 1.0)
        try:
            amount = float(text[:-1] if scale > 1 else text) * scale
        except ValueError:
            amount = 0.0
        if not 0 < amount < math.inf:
            self.fail(
                f"{text!r} is no amount; give a share such as 0.5 or a count such as 2.1G",
                param, ctx,
            )  # fmt: skip
        return amount


def layer_ratios(texts: tuple[str, ...]) -> dict[str, float]:
    """Parse LAYER=RATIO texts.

    Raises:
        UsageError: a text is not of that form.
    """
    ratios = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            ratios[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"{text!r} is no LAYER=RATIO; give such as 'aspp.*=0.6'")
    return ratios
