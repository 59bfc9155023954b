"""The import of a module: from a package's callable and weights to a float checkpoint."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

from torch import fx, nn

from edgeseg.core.files import sha256_file
from edgeseg.core.output_checks import check_file
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.recipe import IMPORT, StepDone
from edgeseg.errors import CheckpointError, SpecError, UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint, save_checkpoint
from edgeseg.host.foreign.build import (
    ARGUMENTS,
    CLASSES,
    FETCHING,
    HEAD,
    PACKAGE,
    RECIPE,
    call,
    class_argument,
    find_callable,
    package_of,
    parameters_of,
    short_name,
    without_fetching,
)
from edgeseg.host.foreign.graph import Found, find_graph, graph_of, hidden_convolutions
from edgeseg.host.foreign.trust import trusted
from edgeseg.host.fx.tracing import head_of
from edgeseg.host.imports.job_options import CHECKPOINT, ImportOptions
from edgeseg.host.models.backbones.base import COUNTERS
from edgeseg.host.models.state_dict import aligned, read_state


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import of a module left.

    Attributes:
        path: of the checkpoint.
        checkpoint: what it holds.
        layers: convolutions in its graph.
        hidden: convolutions in parts that stay whole, and so in float.
        fresh: the weights are random; it must be trained.
    """

    path: Path
    checkpoint: Checkpoint
    layers: int
    hidden: int
    fresh: bool


def import_module(options: ImportOptions, progress: ProgressCallback = silent) -> Imported:
    """Write the checkpoint of a module that a package builds.

    The file names the callable and its arguments. Who loads it must trust the package.

    Args:
        options: by the names of the verb's options.
        progress: told how the network became a graph, and what of the weights matched.

    Raises:
        UsageError: an option does not fit, or the size or normalization is missing.
        DataError: classes.txt is missing or malformed.
        SpecError: the callable refuses its arguments, or gives other classes.
        CheckpointError: the package cannot be imported, or the weights do not fit.
        ExportError: the network cannot be followed; the message names the line.
    """
    name = options.source
    if options.size is None:
        raise UsageError(f"{name} takes pictures of any size; give --size HxW")
    path = options.out or Path("runs/import") / f"{short_name(name)}{CHECKPOINT}"
    if path.suffix != CHECKPOINT:
        raise UsageError(f"-o {path} is no name of a checkpoint; give such as {path}{CHECKPOINT}")
    check_file("-o", path, f"net{CHECKPOINT}", (options.weights, options.classes))
    options.preprocess()
    function = find_callable(name)
    spec = options.spec(name, options.size)
    arguments, counted = _arguments(options, function, spec.n_classes, progress)
    module = call(function, arguments, name)
    loaded = _load(module, options.weights) if options.weights else None
    found = find_graph(module, options.size, options.output)
    if found.shape[1] != spec.n_classes:
        first = ", ".join(spec.class_names[:2])
        hint = (
            f"leave --arg {counted} out, or give the classes that it was trained with"
            if counted
            else "give the argument that counts the classes, such as --arg num_classes="
            f"{spec.n_classes}, or the classes that it was trained with"
        )
        raise SpecError(
            f"{name} gives {found.shape[1]} classes, --classes names {spec.n_classes} ({first}, "
            f"…); {hint}"
        )
    hidden = hidden_convolutions(module, found.recipe.whole)
    graph = graph_of(module, options.size, found.recipe)
    if loaded is not None:
        _check_loaded(options.weights, graph, loaded)
    spec = dataclasses.replace(
        spec,
        options={
            ARGUMENTS: {k: v for k, v in arguments.items() if k not in FETCHING and k != counted},
            CLASSES: counted,
            PACKAGE: package_of(function, name),
            RECIPE: {**dataclasses.asdict(found.recipe), "whole": list(found.recipe.whole)},
            HEAD: head_of(graph),
        },
    )
    checkpoint = Checkpoint(spec, (_step(options, arguments, found),), graph.state_dict())
    with trusted([name.partition(".")[0].partition(":")[0]]):
        # As every later verb will read it.
        again = module_from_checkpoint(checkpoint)
    if list(again.state_dict()) != list(graph.state_dict()):
        raise SpecError(f"{name} builds another network each time; give arguments that fix it")
    fresh = loaded is None and not any(arguments.get(key) for key in FETCHING)
    _tell(progress, options, graph, found, loaded, fresh)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, checkpoint)
    layers = sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in graph.modules())
    return Imported(path, checkpoint, layers - hidden, hidden, fresh)


def _arguments(
    options: ImportOptions, function: Any, n_classes: int, progress: ProgressCallback
) -> tuple[dict[str, Any], str | None]:
    """Return the callable's arguments, and the one that counts the classes.

    Nothing is downloaded unless an argument asks for it.
    """
    given = dict(options.arguments)
    try:
        json.dumps(given)
    except TypeError as error:
        raise UsageError(f"--arg: {error}; give numbers, texts, lists or true and false") from error
    known = parameters_of(function)
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    if not free and (odd := sorted(set(given) - set(known))):
        raise UsageError(f"{options.source} has no argument {odd[0]!r}; it has {', '.join(known)}")
    counted = class_argument(function)
    if counted in given and given[counted] != n_classes:
        raise UsageError(
            f"--arg {counted}={given[counted]}, --classes names {n_classes}; leave --arg {counted} "
            "out, or give the classes that it was trained with"
        )
    off = {k: v for k, v in without_fetching(function, given).items() if k not in given}
    fetching = [k for k in off if k in known and known[k].default not in (None, False)]
    if fetching:
        values = " and ".join(f"{name}={off[name]}" for name in fetching)
        tell(progress, f"{values}, since nothing is downloaded; --arg {fetching[0]}=… asks for it")
    return {**given, **off, **({counted: n_classes} if counted else {})}, counted


def _load(module: nn.Module, path: Path) -> tuple[set[str], set[str]]:
    """Copy a file's tensors into a module; return the names that matched and those left over."""
    own = module.state_dict()
    state = aligned(read_state(path), own)
    matched = {key for key in state if key in own}
    other = [key for key in sorted(matched) if state[key].shape != own[key].shape]
    if other:
        key = other[0]
        raise CheckpointError(
            f"{path}: {key} is {tuple(state[key].shape)}, the network's is "
            f"{tuple(own[key].shape)}; give the classes and arguments that it was trained with"
        )
    module.load_state_dict({key: state[key] for key in matched}, strict=False)
    return matched, {key for key in state if key not in own}


def _check_loaded(
    path: Path | None, graph: fx.GraphModule, loaded: tuple[set[str], set[str]]
) -> None:
    """Refuse weights that leave some of the network's own tensors as they were drawn."""
    matched, left = loaded
    # What was made of a call with a parameter carries that parameter's own name as a prefix.
    missing = [
        key
        for key in graph.state_dict()
        if key not in matched and "_layer." not in key and not key.endswith(COUNTERS)
    ]
    if missing:
        over = f", has {sorted(left)[0]} instead" if left else ""
        raise CheckpointError(
            f"{path} lacks {len(missing)} of the network's tensors, first {missing[0]}{over}; give "
            "the state dict of this network, and the arguments that it was trained with"
        )


def _step(options: ImportOptions, arguments: dict[str, Any], found: Found) -> StepDone:
    weights = options.weights
    return StepDone(
        IMPORT,
        {"callable": options.source, "arguments": arguments},
        {
            "weights": None if weights is None else weights.name,
            "weights_sha256": None if weights is None else sha256_file(weights),
            "stopped": list(found.stopped),
        },
    )


def _tell(
    progress: ProgressCallback, options: ImportOptions, graph: fx.GraphModule, found: Found,
    loaded: tuple[set[str], set[str]] | None, fresh: bool,
) -> None:  # fmt: skip
    name = short_name(options.source)
    if loaded is not None:
        matched, left = loaded
        rest = ", ".join(sorted(left)[:3]) + (", …" if len(left) > 3 else "")
        unused = f", {len(left)} of the file unused ({rest})" if left else ""
        tell(progress, f"{options.weights}: {len(matched)} tensors matched{unused}")
    if fresh:
        tell(progress, f"{name} has random weights: give --weights, or train it before export")
    _, classes, height, width = found.shape
    tell(progress, f"{name}: gives scores of {classes} classes, {height}x{width}")
    if found.recipe.method == "export":
        tell(progress, f"{name}: followed by torch.export, since Python stops it: "
             f"{found.stopped[0]}")  # fmt: skip
    for part, why in zip(found.recipe.whole, found.stopped, strict=False):
        tell(progress, f"{name}: {part} stays whole and in float: {why}")
    if found.fixed:
        height, width = options.size or (0, 0)
        tell(
            progress, f"{name} serves {height}x{width} only: train it with --crop {height}x{width}"
        )
