"""Every error edgeseg raises on purpose, with the exit code the command line gives it.

    EdgesegError                 1   anything below, and failures with no better class
    |-- UsageError               2   an argument is wrong or missing
    |   |-- SpecError            2   a model specification is impossible
    |   `-- RecipeError          2   a recipe has unknown keys or an illegal order of steps
    |-- DataError                1   an image, mask or data folder cannot be used
    |-- CheckpointError          1   a checkpoint is missing, damaged or of another kind
    |-- BundleError              1   a bundle is missing, damaged or not what its manifest says
    |-- ExportError              1   the exported graph is not what it must be
    |-- SourceError              1   a camera, video or folder cannot be opened or read
    |-- SinkError                1   an output cannot be opened or written
    |-- BackendError             1   a runtime refused the graph or failed while running it
    |-- BackendUnavailable       5   this machine lacks a runtime or device; the message names it
    |-- BoardError               5   a board cannot be reached, is in use, or lacks something
    `-- BudgetMissed                 a measured figure is outside its limit
        |-- AccuracyMissed       3
        `-- LatencyMissed        4   latency or memory

A message is one line: what was given, what was expected, what to do.
"""

from __future__ import annotations


class EdgesegError(Exception):
    """Base of every deliberate error; catch it to show a message instead of a traceback."""

    exit_code = 1


class UsageError(EdgesegError):
    """The caller gave an argument that cannot work; nothing was started."""

    exit_code = 2


class SpecError(UsageError):
    """A ModelSpec field is impossible or two fields contradict each other."""


class RecipeError(UsageError):
    """A recipe has unknown keys, bad values or steps in an order that cannot be run."""


class DataError(EdgesegError):
    """An image, mask or data folder is missing, unreadable or inconsistent."""


class CheckpointError(EdgesegError):
    """A checkpoint file is missing, damaged, or does not fit what is asked of it."""


class BundleError(EdgesegError):
    """A bundle folder is missing, damaged or does not match its manifest."""


class ExportError(EdgesegError):
    """The export produced a graph that breaks one of edgeseg's own rules."""


class SourceError(EdgesegError):
    """A frame source cannot be opened, or failed while it was read."""


class SinkError(EdgesegError):
    """A sink cannot be opened, or failed while it was written."""


class BackendError(EdgesegError):
    """A runtime refused a graph or failed while running it."""


class BackendUnavailable(EdgesegError):
    """This machine lacks the runtime, driver or device that was asked for."""

    exit_code = 5


class BoardError(EdgesegError):
    """A board cannot be reached, is in use, or lacks what is needed there."""

    exit_code = 5


class BudgetMissed(EdgesegError):
    """A measured figure lies outside its limit."""

    exit_code = 3


class AccuracyMissed(BudgetMissed):
    """An accuracy figure lies below its limit."""

    exit_code = 3


class LatencyMissed(BudgetMissed):
    """A latency or memory figure lies above its limit."""

    exit_code = 4
