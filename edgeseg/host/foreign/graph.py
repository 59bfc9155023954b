"""The graph of somebody's module: traced, exported, or traced with parts that stay whole."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import linecache
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from edgeseg.errors import ExportError
from edgeseg.host.foreign.exported import exported
from edgeseg.host.foreign.layers import drop_dead, make_layers
from edgeseg.host.foreign.shaped import ShapedTracer
from edgeseg.host.models.blocks import Segmenter

METHODS = ("trace", "export")
# Parts that may stay whole before a network counts as one that cannot be traced.
MOST_PARTS = 64
OWN_FOLDERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]))
INSIDE = "network"
IN_PLACE = re.compile(r"[a-z]\w*[a-z0-9]_")
# A graph of the same operators in the same order differs by less.
ROUNDING = 1e-4
TINY = 1e-6


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a graph is made of a module, so that it can be made again.

    Attributes:
        method: one of METHODS.
        output: key or index of the logits; None takes "out", "logits" or the first.
        whole: modules that are not looked into.
    """

    method: str = METHODS[0]
    output: str | None = None
    whole: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Found:
    """A module as a graph.

    Attributes:
        recipe: how it is made.
        stopped: what kept the tracer from following it, with the lines.
        fixed: it serves pictures of its own size only.
        shape: of the logits.
    """

    recipe: Recipe
    stopped: tuple[str, ...]
    fixed: bool
    shape: tuple[int, ...]


class _Logits(nn.Module):
    """A module whose answer is its logits alone."""

    def __init__(self, network: nn.Module, output: str | None) -> None:
        super().__init__()
        self.network = network
        self.output = output

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return logits_of(self.network(image), self.output)


def logits_of(answer: Any, output: str | None) -> Any:
    """Return the logits in what a network gives: a dictionary's, a tuple's, or itself.

    Raises:
        ExportError: there is no such output.
    """
    if isinstance(answer, Mapping):
        names = [output] if output else ["out", "logits", *answer]
        found = next((name for name in names if name in answer), None)
        if found is None:
            raise ExportError(
                f"the network has no output {output!r}; give one of: {', '.join(map(str, answer))}"
            )
        return answer[found]
    if isinstance(answer, (tuple, list)):
        if output and not (output.isdigit() and int(output) < len(answer)):
            raise ExportError(
                f"the network gives {len(answer)} outputs without names; give --output 0 to "
                f"{len(answer) - 1}"
            )
        return answer[int(output or 0)]
    return answer


def graph_of(module: nn.Module, size_hw: tuple[int, int], recipe: Recipe) -> fx.GraphModule:
    """Return a module as a graph of layers, which shares its parameters.

    Args:
        module: from N,3,h,w to logits; in evaluation mode afterwards, some of its layers replaced
            by torch's own.
        size_hw: of the input.
        recipe: how.

    Raises:
        Exception: the module cannot be followed that way.
    """
    wrapped = _Logits(module.eval(), recipe.output)
    if recipe.method == "export":
        graph = exported(wrapped, size_hw)
    else:
        tracer = ShapedTracer(size_hw, [f"{INSIDE}.{name}" for name in recipe.whole])
        graph = tracer.trace(wrapped)
    _tidy(graph)
    make_layers(wrapped, graph)
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = _inner(wrapped, str(node.target))
        if node.op == "call_module" and not node.args:
            node.args, node.kwargs = tuple(node.kwargs.values()), {}
        if node.name.startswith(f"{INSIDE}_"):
            node._rename(node.name.removeprefix(f"{INSIDE}_"))
        # Scales are kept in a ModuleDict by the nodes' names, where its own names have no place.
        while hasattr(nn.ModuleDict, node.name):
            node._rename(f"{node.name}_value")
    graph.lint()
    made = fx.GraphModule(module, graph, type(module).__name__)
    made.eval()
    return made


def as_graph(module: nn.Module, size_hw: tuple[int, int]) -> nn.Module:
    """Return anybody's module as a graph of layers, on a copy; edgeseg's own networks as they are.

    Raises:
        ExportError: it cannot be followed.
    """
    if isinstance(module, (Segmenter, fx.GraphModule)):
        return module
    found = find_graph(module, size_hw, None)
    return graph_of(copy.deepcopy(module), size_hw, found.recipe)


def find_graph(module: nn.Module, size_hw: tuple[int, int], output: str | None) -> Found:
    """Find how a module becomes a graph that computes the same.

    Python is followed first, then torch.export is asked, then the parts that stop either stay
    whole. The first graph that serves every size is taken, else the first that computes the same
    at its own.

    Args:
        module: in evaluation mode afterwards; it is not changed otherwise.
        size_hw: of its input.
        output: of Recipe.

    Raises:
        ExportError: none of them works, which the message lays to a line, or the module cannot run
            on such a picture.
    """
    asked = _Questions(module.eval(), size_hw, output)
    stopped: list[str] = []
    best: Found | None = None
    for method in (*METHODS, "parts"):
        try:
            recipe, reasons = Recipe(method, output), list[str]()
            if method == "parts":
                recipe, reasons = _by_parts(module, size_hw, output)
            made = graph_of(copy.deepcopy(module), size_hw, recipe)
            fixed = asked.fixed(made)
        except ExportError as error:
            if best is None:
                raise
            stopped.append(str(error))
            continue
        except Exception as error:
            # Whatever stops the tracer or torch.export; the last attempt tells it.
            stopped.append(told(error))
            continue
        if best is None or best.fixed:
            best = Found(recipe, tuple(stopped[:1] or reasons), fixed, asked.shape)
        if not fixed:
            break
    if best is None:
        raise ExportError(_cannot(stopped[0]))
    return best


def _cannot(why: str) -> str:
    return f"the network cannot be followed: {why}; import it as an ONNX file, or change that line"


class _Questions:
    """What the module itself answers, at its size and at another one with two pictures."""

    def __init__(self, module: nn.Module, size_hw: tuple[int, int], output: str | None) -> None:
        smaller = [max(32, n // 2 // 32 * 32) for n in size_hw]
        if tuple(smaller) == size_hw:
            smaller = [2 * n for n in size_hw]
        generator = torch.Generator().manual_seed(0)
        self.pictures = [
            torch.randn(batch, 3, *size, generator=generator)
            for batch, size in ((1, size_hw), (2, smaller))
        ]
        try:
            answer = _answer(module, self.pictures[0])
        except Exception as error:
            raise ExportError(
                f"the network does not take a picture of {size_hw[0]}x{size_hw[1]}: {told(error)}"
            ) from error
        logits = logits_of(answer, output)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 4:
            given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits)
            raise ExportError(
                f"the network gives {given}, expected scores N,K,h,w of a segmentation network; "
                "give --output for another output"
            )
        self.shape = tuple(logits.shape)
        self.wanted = [logits]
        # One that takes no other size cannot be asked about it.
        with contextlib.suppress(Exception):
            self.wanted.append(logits_of(_answer(module, self.pictures[1]), output))

    def fixed(self, made: nn.Module) -> bool:
        """Return whether a graph serves the one size only.

        Raises:
            RuntimeError: it computes something else even there.
        """
        if not _equal(_answer(made, self.pictures[0]), self.wanted[0]):
            raise RuntimeError("its graph computes other scores than the network itself")
        if len(self.wanted) < 2:
            return True
        try:
            return not _equal(_answer(made, self.pictures[1]), self.wanted[1])
        except Exception:
            return True


@torch.no_grad()
def _answer(module: nn.Module, pictures: torch.Tensor) -> Any:
    return module(pictures)


def _equal(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    largest = float(wanted.abs().max())
    return float((found - wanted).abs().max()) <= ROUNDING * max(largest, TINY)


def _by_parts(
    module: nn.Module, size_hw: tuple[int, int], output: str | None
) -> tuple[Recipe, list[str]]:
    """Trace a module again and again, with what stops it left whole.

    Raises:
        ExportError: what stops it is the module itself.
    """
    whole: list[str] = []
    reasons: list[str] = []
    while True:
        tracer = ShapedTracer(size_hw, [f"{INSIDE}.{name}" for name in whole])
        try:
            tracer.trace(_Logits(module, output))
            return Recipe(METHODS[0], output, tuple(whole)), reasons
        except Exception as error:
            part = next(iter(tracer.failed), INSIDE).removeprefix(INSIDE).lstrip(".")
            if not part or part in whole or len(whole) >= MOST_PARTS:
                raise ExportError(_cannot(told(error))) from error
            # What lies inside stays whole with it.
            whole = [*(name for name in whole if not name.startswith(f"{part}.")), part]
            reasons.append(f"{part}: {told(error)}")


def told(error: BaseException) -> str:
    """Return an error's first line and the line of the network's code that it came from."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:; ")
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith((*OWN_FOLDERS, "<"))]
    if not theirs:
        return first
    last = theirs[-1]
    code = linecache.getline(last.filename, last.lineno or 0).strip()
    return f"{Path(last.filename).name}:{last.lineno} `{code}` ({first})"


def hidden_convolutions(module: nn.Module, whole: Sequence[str]) -> int:
    """Return how many convolutions lie in modules that stay whole."""
    return sum(
        isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        for name in whole
        for layer in module.get_submodule(name).modules()
    )


def _tidy(graph: fx.Graph) -> None:
    """Take out checks, and let later readers of a tensor read what was written into it."""
    later: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "call_method" and IN_PLACE.fullmatch(str(node.target)):
            after = frozenset(later)
            node.args[0].replace_all_uses_with(node, lambda user, after=after: user in after)
        later.add(node)
    drop_dead(graph)


def _inner(wrapped: nn.Module, name: str) -> str:
    """Return a name inside the network; what the wrapper itself holds moves there."""
    if name.startswith(f"{INSIDE}."):
        return name.removeprefix(f"{INSIDE}.")
    network = wrapped.get_submodule(INSIDE)
    value = getattr(wrapped, name)
    if not hasattr(network, name):
        network.register_buffer(name, value)
    return name
