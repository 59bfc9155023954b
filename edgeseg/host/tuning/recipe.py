"""Writes the recipe that makes the network which `tune` found."""

from __future__ import annotations

from typing import Any

import tomli_w

from edgeseg.host.tuning.job import TuneJob
from edgeseg.host.tuning.search import Candidate
from edgeseg.host.tuning.study import digest_of


def recipe_text(job: TuneJob, candidate: Candidate, data: str) -> str:
    """Return the TOML recipe that makes a candidate of the search's start.

    Args:
        job: the search.
        candidate: what to make.
        data: what --data said.
    """
    plan, train = job.plan(candidate), job.train
    step: dict[str, Any] = {
        "kind": "prune",
        "layer_ratios": dict(candidate.ratios),
        "max_ratio": job.max_ratio,
        "round_to": job.round_to,
        "repair": plan.options.repair,
        "images": plan.images,
        "data": data,
        "crop": list(train.augment.crop_hw),
        "photometry": train.augment.photometry,
        "epochs": train.epochs,
        "batch": train.batch,
        "lr": train.lr,
        "class_weights": train.class_weight_exponent,
        "distill": train.distill,
        "seed": train.seed,
        "validate_every": train.validate_every,
    }
    steps = [step]
    if job.precision == "int8":
        kept = list(candidate.keep_float)
        steps.append({"kind": "quantize", "data": data, "images": job.images, "keep_float": kept})
    head = f"# start: the checkpoint whose weights hash to {digest_of(job.start)} (edgeseg tune).\n"
    return head + tomli_w.dumps({"arch": job.start.spec.arch, "start": "start", "step": steps})
