"""A verb's arguments as words for a board: which of them name files to send or to bring back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from edgeseg.core.output_checks import check_file, check_folder
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.runtime.remote.job import Brought, Sent, Word

# Whatever the verb reads may lie on the board already: "board:" and its path there.
THERE = "board:"
# What a parameter of a verb names. Every parameter that takes a path must be here.
ROLES: Mapping[str, Mapping[str, str]] = {
    "doctor": {},
    "models": {},
    "lint": {"targets": "maybe"},
    "build": {"bundle": "bundle", "plugin": "sent"},
    "verify": {"bundle": "bundle"},
    "eval": {
        "bundle": "bundle",
        "data": "data",
        "classes": "sent",
        "confusion": "file",
        "out": "folder",
    },
    "bench": {
        "bundles": "bundle",
        "data": "data",
        "classes": "sent",
        "checkpoint": "sent",
        "html": "file",
        "csv_path": "file",
        "markdown": "file",
        "export_times": "file",
        "out": "file",
    },
    "stream": {
        "bundle": "bundle",
        "source": "data",
        "also": "data",
        "sinks": "sink",
        "labels": "sent",
        "shadow": "bundle",
        "harvest": "folder",
        "out": "file",
    },
    "gate": {
        "report": "sent",
        "baseline": "baseline",
        "budget": "sent",
        "junit": "file",
        "markdown": "file",
        "history": "appended",
        "trend": "file",
    },
}


def words_for(
    verb: str, arguments: Sequence[str], command: click.Command, *, label: str = ""
) -> list[Word]:
    """Return the verb and its arguments with the places of the desk marked.

    Args:
        verb: a key of ROLES.
        arguments: what was typed after it.
        command: the verb's own command, which checks the arguments.
        label: is put into the names of results, so that those of several boards lie apart.

    Raises:
        UsageError: the verb does not run on a board, or a place cannot be read or written.
    """
    if verb not in ROLES:
        raise UsageError(unknown("verb for a board", verb, ROLES))
    context = command.make_context(f"edgeseg {verb}", list(arguments))
    roles = ROLES[verb]
    words: list[Word] = [verb]
    if verb == "eval" and context.params["save_errors"] and context.params["out"] is None:
        # Without -o the verb writes into the folder where it runs, which is none of the desk's.
        name = Path(context.params["bundle"]).name
        words += ["-o", _brought(f"runs/eval/{name}", "", "-o", label, folder=True)]
    for word, value, parameter in _scan(arguments, command):
        if parameter is None:
            words.append(word)
            continue
        prefix = word[: len(word) - len(value)]
        role = roles.get(str(parameter.name))
        if role is None and isinstance(parameter.type, click.Path):
            raise UsageError(f"{parameter.opts[0]} of {verb} cannot be used on a board yet")
        if role == "baseline":
            role = "appended" if context.params.get("accept") else "sent"
        option = parameter.opts[0] if parameter.opts[0].startswith("-") else str(parameter.name)
        words.append(_word(role, value, prefix, option, label))
    return words


def _word(role: str | None, value: str, prefix: str, option: str, label: str) -> Word:
    if role is None:
        return prefix + value
    if role in ("bundle", "data", "sent", "maybe"):
        return place_word(role, value, option, prefix)
    if role == "sink":
        from edgeseg.runtime.sinks.open import written_place

        found = written_place(value)
        if found is None:
            return prefix + value
        scheme, place = found
        if scheme == "masks" and not place.endswith("/"):
            place += "/"
        return _brought(place, prefix, option, label, folder=scheme == "masks")
    return _brought(
        value, prefix, option, label, folder=role == "folder", also_read=role == "appended"
    )


def place_word(role: str, value: str, option: str, prefix: str = "") -> Sent | str:
    """Return the word for something that a verb reads.

    Args:
        role: "bundle", "data", "sent" (a file or folder) or "maybe" (any of them, or none).
        value: what the user typed.
        option: what it was typed for, for messages.
        prefix: what stands before it in the word.

    Raises:
        UsageError: it does not exist.
        BundleError: it is no bundle, or a damaged one.
    """
    if value.startswith(THERE):
        return prefix + value.removeprefix(THERE)
    path = Path(value)
    if path.exists():
        return _sent(role, path, prefix)
    if role == "bundle":
        from edgeseg.core.zoo import find_bundle

        # A zoo name, which the board has too, or an error that says so.
        find_bundle(value)
        return prefix + value
    if role == "maybe" or (role == "data" and ":" in value) or value == "synthetic":
        return prefix + value
    raise UsageError(
        f"{option} {value} does not exist here; for a place on the board write {THERE}/PATH"
    )


def _sent(role: str, path: Path, prefix: str) -> Sent:
    if role == "bundle":
        from edgeseg.core.bundle import read_bundle

        # Damaged here is damaged there.

        read_bundle(path)
    return Sent(path, prefix)


def _brought(
    text: str, prefix: str, option: str, label: str, *, folder: bool, also_read: bool = False
) -> Word:
    path = Path(text)
    if path.exists() and not path.is_file() and not path.is_dir():
        # /dev/stdout and its kin are the board's own, whose words come back anyway.
        return prefix + text
    if not path.name:
        raise UsageError(f"{option} {text} names no file; give such as {option} result")
    if label:
        path = path.with_name(f"{path.stem}-{label}{path.suffix}")
    if folder:
        check_folder(option, path)
    else:
        check_file(option, path, path.name)
    return Brought(path, text, folder=folder, also_read=also_read, prefix=prefix)


def _scan(
    arguments: Sequence[str], command: click.Command
) -> list[tuple[str, str, click.Parameter | None]]:
    """Return each word with the value in it and the parameter it belongs to.

    click has parsed the same words before, so they are known to be well formed.
    """
    options = {
        name: parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    found: list[tuple[str, str, click.Parameter | None]] = []
    free: list[int] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            found.append((word, "", None))
            for each in left:
                free.append(len(found))
                found.append((each, each, None))
            break
        if not word.startswith("-") or word == "-":
            free.append(len(found))
            found.append((word, word, None))
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", "")
        option = options[name]
        if not word.startswith("--"):
            value = word[2:]
        if option.is_flag or option.count:
            found.append((word, "", None))
        elif equals or value:
            found.append((word, value, option))
        else:
            found.append((word, "", None))
            # An option whose value may be left out takes no word that looks like an option.
            optional = isinstance(option.flag_value, str)
            if optional and (not left or left[0][:1] == "-"):
                continue
            for _ in range(option.nargs):
                value = left.pop(0)
                found.append((value, value, option))
    _assign(found, free, command)
    return found


def _assign(
    found: list[tuple[str, str, click.Parameter | None]], free: list[int], command: click.Command
) -> None:
    """Give the words that stand alone to the command's arguments, as click does."""
    takers = [each for each in command.params if isinstance(each, click.Argument)]
    after = 0
    for number, taker in enumerate(takers):
        rest = sum(max(1, other.nargs) for other in takers[number + 1 :])
        count = len(free) - after - rest if taker.nargs < 0 else taker.nargs
        for place in free[after : after + count]:
            word, value, _ = found[place]
            found[place] = (word, value, taker)
        after += count
