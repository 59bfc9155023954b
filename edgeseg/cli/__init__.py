"""The command line: one file per verb, loaded when its help or the verb itself is asked for.

Exit codes: 0 ok, 1 error, 2 usage, 3 accuracy gate, 4 latency or memory gate, 5 this machine lacks
something, 70 a fault of edgeseg itself, 130 interrupted. Standard output carries results only;
everything else is on standard error.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

import edgeseg
from edgeseg.cli.common.bounds import bound
from edgeseg.core.data.kept import keep_in
from edgeseg.core.suggest import unknown
from edgeseg.core.text.names import one_line
from edgeseg.errors import EdgesegError, UsageError
from edgeseg.host.foreign.trust import trust_file

# In the order a newcomer needs them.
VERBS = {
    "demo": "edgeseg.cli.demo.command",
    "models": "edgeseg.cli.models.command",
    "data": "edgeseg.cli.data.command",
    "import": "edgeseg.cli.import_",
    "train": "edgeseg.cli.train",
    "prune": "edgeseg.cli.prune",
    "tune": "edgeseg.cli.tune.command",
    "paper": "edgeseg.cli.paper",
    "qat": "edgeseg.cli.qat.command",
    "balance": "edgeseg.cli.balance",
    "recipe": "edgeseg.cli.recipe.command",
    "export": "edgeseg.cli.export",
    "build": "edgeseg.cli.build",
    "lint": "edgeseg.cli.lint",
    "verify": "edgeseg.cli.verify",
    "eval": "edgeseg.cli.eval",
    "predict": "edgeseg.cli.predict",
    "stream": "edgeseg.cli.stream.command",
    "bench": "edgeseg.cli.bench.command",
    "gate": "edgeseg.cli.gate.command",
    "compare": "edgeseg.cli.compare",
    "doctor": "edgeseg.cli.doctor",
    "board": "edgeseg.cli.board.command",
    "on": "edgeseg.cli.board.on",
}
# The same verbs as `edgeseg --help` groups them.
SECTIONS = {
    "Train": "demo models data train balance recipe compare paper",
    "Compress": "prune tune qat",
    "Deploy": "import export build lint verify predict stream",
    "Measure": "eval bench gate",
    "Boards": "doctor board on",
}
# Threads that could not be waited for: a reference network, a camera's library without limits, and
# a sink that hangs (shadow.py and loop.py of runtime/streaming, runtime/sources/live.py).
LEFT_BEHIND = ("edgeseg-shadow", "edgeseg-source", "edgeseg-loop")
# What torchrun tells the processes that it starts.
TORCHRUN = "TORCHELASTIC_RUN_ID"
INTERRUPTED = 128 + signal.SIGINT
# sysexits.h's EX_SOFTWARE: a fault of ours, not of what was given.
FAULT = 70
TRACEBACK = "EDGESEG_TRACEBACK"
REPORTS = "CONTRIBUTING.md, Report a fault"
# As core/files/bounded.py has it, which would load numpy.
MOST_PIXELS = 178_956_970
NO_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system allows",
}


class VerbGroup(click.Group):
    """A group whose verbs live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by what they are for, each with its first sentence, whole."""
        for title, names in SECTIONS.items():
            rows = []
            for name in names.split():
                command = self.get_command(ctx, name)
                text = (command.help if command else None) or ""
                rows.append((name, " ".join(text.split("\n\n")[0].split())))
            with formatter.section(title):
                formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's module and return its command."""
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return bound(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown verb with the nearest known one."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise UsageError(unknown("verb", args[0], VERBS))
        return super().resolve_command(ctx, args)


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: edgeseg demo",
)
@click.version_option(edgeseg.__version__, message="edgeseg %(version)s")
@click.pass_context
def edgeseg_command(ctx: click.Context) -> None:
    """Train, quantize and stream semantic segmentation, and measure what it costs."""
    keep_in(data_cache())
    # Read when OpenCV decodes: a picture of more pixels than this would take gigabytes.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
    trust_file(Path(click.get_app_dir("edgeseg")) / "trusted")
    started = int(os.environ.get("WORLD_SIZE", "1")) if TORCHRUN in os.environ else 1
    if started > 1 and ctx.invoked_subcommand not in ("train", None):
        raise UsageError(
            f"torchrun started {started} processes, and {ctx.invoked_subcommand} would run whole "
            "in each of them; only train shares its work, start the others without torchrun"
        )


def data_cache() -> Path:
    """Return the folder where facts of data sets are kept."""
    held = os.environ.get("XDG_CACHE_HOME")
    return (Path(held) if held else Path.home() / ".cache") / "edgeseg" / "data"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, with every expected failure as one line."""
    for word in sys.argv[1:] if arguments is None else arguments:
        if "@" in word or "://" in word:
            # Imported here, as below: most help needs none of it.
            from edgeseg.core.text.redact import remember

            # Whatever a library says of it later, the password in it is not shown.
            remember(word)
    try:
        result = edgeseg_command.main(
            args=None if arguments is None else list(arguments),
            prog_name="edgeseg",
            standalone_mode=False,
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "edgeseg")
        message = error.format_message().rstrip(".")
        return _fail(f"{message}; see '{where} --help'", error.exit_code)
    except EdgesegError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        # click makes the same of the end of a file that a library read.
        if isinstance(error.__cause__ or error.__context__, EOFError):
            return _fault(error.__cause__ or error.__context__)
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        return _fail(_os_message(error), 1)
    except MemoryError:
        return _fail("memory is used up; close other programs, or give smaller sizes", 1)
    except Exception as error:
        return _fault(error)


def main() -> None:
    """Entry point of the `edgeseg` script."""
    code = run()
    if any(thread.daemon and thread.name in LEFT_BEHIND for thread in threading.enumerate()):
        # It is inside somebody's library. Python's way out would abort when it comes back.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    from edgeseg.core.text.redact import redact

    print(f"edgeseg: error: {one_line(redact(message))}", file=sys.stderr)
    return code


def _fault(error: BaseException | None) -> int:
    """Say in one line that edgeseg itself failed, and where the traceback lies."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    from edgeseg.core.text.redact import redact

    text = "".join(traceback.format_exception(error)) if error else ""
    where = f"set {TRACEBACK}=1 to see where"
    try:
        handle, name = tempfile.mkstemp(prefix="edgeseg-fault-", suffix=".txt")
        with os.fdopen(handle, "w", errors="replace") as stream:
            # It is made to be sent to somebody.
            stream.write(redact(text))
        where = f"the traceback is in {name}"
    except OSError:
        # A full disk must not hide the message.
        pass
    message = first_line(error) if error else "unknown"
    return _fail(
        f"internal error, {type(error).__name__}: {message}; {where}; please report it with the "
        f"command and the file that it was given ({REPORTS})",
        FAULT,
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no text"


def _drop_output() -> None:
    """Send what is still buffered nowhere: Python would try again, and complain, on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _os_message(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in NO_SPACE:
        return f"{name}{NO_SPACE[error.errno]}; nothing was written, free some space and try again"
    return f"{name}{error.strerror or error}"
