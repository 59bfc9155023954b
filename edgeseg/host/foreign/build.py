"""Builds a network of another package by the name of its callable, and makes a graph of it."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError, SpecError, UsageError
from edgeseg.host.foreign.graph import Recipe, graph_of, told
from edgeseg.host.foreign.trust import check_trusted
from edgeseg.host.models import build_model

# Keys of ModelSpec.options of such a network.
ARGUMENTS, CLASSES, PACKAGE = "arguments", "classes_argument", "package"
RECIPE, HEAD = "graph", "head"
# Parameters that count the classes, by the packages that are known.
CLASS_ARGUMENTS = ("num_classes", "classes", "n_classes", "num_labels", "nclass", "n_class")
# Parameters that have weights fetched; the checkpoint brings its own.
FETCHING = (
    "weights", "encoder_weights", "weights_backbone", "pretrained", "pretrained_backbone",
)  # fmt: skip
# Packages whose callables do other things than build networks.
NO_NETWORKS = ("edgeseg", "torch", "numpy", "pip", "setuptools")


def is_foreign(arch: str) -> bool:
    """Tell whether an architecture is package.module:callable, not a name of MODELS."""
    return ":" in arch


def short_name(arch: str) -> str:
    """Return the callable's name of package.module:callable; other names stay."""
    return arch.rpartition(":")[2]


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network of a spec with fresh weights: one of MODELS, or another package's.

    Raises:
        SpecError: the architecture is unknown or refuses an option.
        UsageError: it is of a package that the user does not trust.
        CheckpointError: its package is not installed, or builds another network today.
    """
    return build_foreign(spec) if is_foreign(spec.arch) else build_model(spec)


def build_foreign(spec: ModelSpec) -> nn.Module:
    """Build a network of another package as a graph of layers, with fresh weights.

    Raises:
        UsageError: the package is not trusted.
        CheckpointError: it is not installed, or what it builds cannot be followed as before.
    """
    check_trusted(spec.arch)
    options = spec.options
    arguments = dict(options.get(ARGUMENTS, {}))
    if options.get(CLASSES):
        arguments[options[CLASSES]] = spec.n_classes
    made = options.get(RECIPE, {})
    recipe = Recipe(made.get("method", "trace"), made.get("output"), tuple(made.get("whole", ())))
    device = torch.get_default_device()
    # Some compute constants of tensors while they are built, which a tensor without values cannot
    # give.
    with torch.device("cpu"):
        function = find_callable(spec.arch, str(options.get(PACKAGE, "")))
        module = call(function, without_fetching(function, arguments), spec.arch)
        try:
            graph = graph_of(module, spec.size_hw, recipe)
        except Exception as error:
            raise CheckpointError(
                f"{spec.arch} cannot be followed as when it was imported ({told(error)}); install "
                f"{options.get(PACKAGE) or 'the version that it was imported from'}, or import it "
                "again"
            ) from error
    return graph.to(device)


def find_callable(name: str, package: str = "") -> Callable[..., Any]:
    """Import package.module:callable.

    Args:
        name: of it.
        package: what to install where it cannot be imported, as name==version.

    Raises:
        UsageError: the name is no such name, or there is no such callable.
        CheckpointError: the module cannot be imported; the message says what to install.
    """
    where, _, attribute = name.partition(":")
    root = where.partition(".")[0]
    good = all(part.isidentifier() for part in (*where.split("."), *attribute.split(".")))
    if not good:
        raise UsageError(
            f"{name!r} is neither an ONNX file nor package.module:callable; give such as "
            "torchvision.models.segmentation:lraspp_mobilenet_v3_large"
        )
    if root in NO_NETWORKS or root in sys.stdlib_module_names:
        raise UsageError(f"{name}: {root} holds no segmentation network to import")
    try:
        found: Any = importlib.import_module(where)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if missing.partition(".")[0] == root and where.startswith(missing):
            raise CheckpointError(
                f"{name}: no module {missing!r} is installed here; pip install "
                f"{package or root.replace('_', '-')}, or set PYTHONPATH to the folder that holds "
                "it"
            ) from error
        raise CheckpointError(
            f"{name}: {where} needs {missing}, which is not installed; pip install {missing}"
        ) from error
    except Exception as error:
        # An import runs whatever code the module holds.
        raise CheckpointError(f"{name}: its import fails: {told(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{name}: {where} has no {attribute}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{name} is no class or function that builds a network")
    return found


def call(function: Callable[..., Any], arguments: Mapping[str, Any], name: str) -> nn.Module:
    """Build a module.

    Raises:
        SpecError: the callable refuses the arguments, or gives something else.
    """
    try:
        module = function(**arguments)
    except Exception as error:
        raise SpecError(f"{name} refuses {dict(arguments)}: {told(error)}") from error
    if not isinstance(module, nn.Module):
        raise SpecError(f"{name} gives {type(module).__name__}, expected a torch.nn.Module")
    return module


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a callable; none where Python cannot tell."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def without_fetching(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with which nothing is downloaded."""
    known = parameters_of(function)
    off = {
        name: False if isinstance(known[name].default, bool) else None
        for name in FETCHING
        if name in known
    }
    return {**{k: v for k, v in arguments.items() if k not in FETCHING}, **off}


def class_argument(function: Callable[..., Any]) -> str | None:
    """Return the parameter that counts the classes, None where no name is known."""
    known = parameters_of(function)
    return next((name for name in CLASS_ARGUMENTS if name in known), None)


def package_of(function: Callable[..., Any], name: str) -> str:
    """Return the distribution of a callable as name==version; empty where there is none."""
    root = name.partition(":")[0].partition(".")[0]
    held = importlib.metadata.packages_distributions().get(root, [])
    return f"{held[0]}=={importlib.metadata.version(held[0])}" if held else ""
