"""The measuring verbs as functions of Python.

    edgeseg.evaluate("model", "mine").scores.miou
    edgeseg.bench(["model-int8", "model-fp32"], data="mine").ratios

Models are names of `edgeseg models` or folders of bundles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.core.zoo import find_bundle
from edgeseg.runtime.backends.choose import chosen_backends, options_for
from edgeseg.runtime.bench.result import BenchResult
from edgeseg.runtime.bench.row import bundle_entries
from edgeseg.runtime.bench.run import BenchOptions
from edgeseg.runtime.bench.run import bench as run_bench
from edgeseg.runtime.evaluation.evaluate import EvalResult
from edgeseg.runtime.prediction.model import load


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    split: str = "val",
    limit: int | None = None,
    backend: str = "auto",
    threads: int | None = None,
) -> EvalResult:
    """Score a network on labelled data, as `edgeseg eval` does.

    Args:
        model: a name or a bundle's folder.
        data: a data folder, "synthetic" or "synthetic:N".
        split: "train", "val" or "test".
        limit: score this many images at most, spread evenly.
        backend: a runtime; "auto" takes the first that works here.
        threads: threads of one inference; None leaves the choice to the runtime.

    Raises:
        DataError: the folder is missing or is no data set of the network's classes.
        EdgesegError: as `edgeseg.load` says.
    """
    with load(model, backend=backend, threads=threads) as opened:
        return opened.evaluate(str(data), split=split, limit=limit)


def bench(
    models: str | Path | Sequence[str | Path],
    data: str | Path = "synthetic:64",
    *,
    backends: str | Sequence[str] = (),
    threads: int | None = None,
    limit: int | None = None,
    rounds: int = 12,
    repeat: int = 1,
    boundary: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> BenchResult:
    """Run networks side by side on the same images, as `edgeseg bench` does.

    The rows take turns, so that a busy machine slows all of them: compare ratios.

    Args:
        models: names or folders of bundles, of one list of classes.
        data: labelled images.
        backends: runtimes; none takes all that work here.
        threads: threads of one inference; the process is pinned to as many cores.
        limit: use this many images, spread evenly.
        rounds: go over the images again until there were so many.
        repeat: times each image is timed in its turn.
        boundary: measure boundary F1 too.
        progress: told the number of rounds done.

    Raises:
        BackendUnavailable: no runtime works here.
        DataError: no image, or other classes than a network's.
        BackendError: a runtime failed.
    """
    given = [models] if isinstance(models, str | Path) else models
    bundles = [find_bundle(str(model)) for model in given]
    chosen = chosen_backends((backends,) if isinstance(backends, str) else backends)
    size_hw = bundles[0].spec.size_hw if bundles else (360, 480)
    dataset = open_dataset(str(data), "val", size_hw=size_hw, limit=limit, options=ReadOptions())
    return run_bench(
        bundle_entries(bundles, chosen, lambda name: options_for(name, threads)),
        dataset,
        BenchOptions(rounds=rounds, repeat=repeat, boundary=boundary),
        threads=threads,
        progress=progress,
    )
