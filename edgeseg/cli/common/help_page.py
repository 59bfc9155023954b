"""How `edgeseg VERB --help` is laid out: options in groups, in the order of need.

LAYOUT names what a verb shows at first. What it does not name stands under "Advanced", which only
`--advanced` shows; a new option needs no line here.
"""

from __future__ import annotations

import click

ADVANCED = "--advanced"
DATA, START, TASK = "Data", "Start from", "What to do"
SCHEDULE, COMPRESSION, MEASURE = "Schedule", "Compression", "Measure"
LIMITS, OUTPUT = "Limits", "Output"

# Verb -> group -> options in order. --json and --help end every verb's last group.
LAYOUT: dict[str, dict[str, str]] = {
    "demo": {SCHEDULE: "--epochs --images", OUTPUT: "--out"},
    "data": {
        DATA: "--classes --unlabelled --split-by",
        OUTPUT: "--out --size --every --val --html",
    },
    "import": {
        DATA: "--classes --size --mean --std --unit --raw",
        OUTPUT: "--out",
    },
    "train": {
        DATA: "--data --classes --hold-out",
        START: "--init --encoder-weights --teacher --resume",
        SCHEDULE: "--epochs --size --batch --lr --device",
        OUTPUT: "--out",
    },
    "prune": {
        COMPRESSION: "--ratio --macs --params --repair",
        DATA: "--data --classes",
        SCHEDULE: "--epochs --lr --device --resume",
        OUTPUT: "--out",
    },
    "tune": {
        LIMITS: "--target-ms --target-fps --target-macs --max-drop",
        DATA: "--data --classes",
        MEASURE: "--backend --on --board --precision",
        SCHEDULE: "--trials --trial-epochs --resume",
        OUTPUT: "--out",
    },
    "paper": {
        DATA: "--data --split --limit",
        SCHEDULE: "--arch --epochs --device",
        OUTPUT: "--out",
    },
    "qat": {
        DATA: "--data --classes",
        COMPRESSION: "--observer --keep-float --max-drop",
        SCHEDULE: "--epochs --batch --lr --device --resume",
        MEASURE: "--sensitivity --compare-ptq",
        OUTPUT: "--out",
    },
    "balance": {
        DATA: "--data --hold-out --val-limit",
        TASK: "--take-back",
        OUTPUT: "--out",
    },
    "recipe": {START: "--where", OUTPUT: "--dry-run --out"},
    "export": {
        COMPRESSION: "--int8 --fp16 --fp32 --calibrate",
        OUTPUT: "--for --out",
    },
    "build": {
        COMPRESSION: "--int8 --fp16 --fp32",
        MEASURE: "--race",
        OUTPUT: "--explain --rebuild",
    },
    "lint": {TASK: "--target --board --layers --quiet"},
    "verify": {MEASURE: "--backend --precision --min-agreement"},
    "eval": {
        DATA: "--data --classes --split --limit",
        MEASURE: "--backend --no-bf",
        OUTPUT: "--save-errors --confusion --out",
    },
    "predict": {OUTPUT: "--out --as --legend --alpha", MEASURE: "--backend"},
    "stream": {
        OUTPUT: "--legend --replace --dashboard --out",
        LIMITS: "--frames --duration --pace",
        MEASURE: "--labels --sustain --backend --precision --threads",
        TASK: "--also --harvest --shadow",
    },
    "bench": {
        DATA: "--data --limit",
        MEASURE: "--backend --threads --reference --native-float --rounds",
        OUTPUT: "--html --markdown --csv --out",
    },
    "gate": {
        LIMITS: "--baseline --budget --miou-drop --slower --larger",
        TASK: "--accept",
        OUTPUT: "--junit --markdown --history --trend",
    },
}
# What click writes for a number, and what is shorter.
NUMBERS = (("INTEGER RANGE", "N"), ("INTEGER", "N"), ("FLOAT RANGE", "X"), ("FLOAT", "X"))
ENDS = ("--json", "--help")


class Verb(click.Command):
    """A command whose help shows the common options first, and all of them with --advanced."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take --advanced as a call for help."""
        words = args[: args.index("--")] if "--" in args else args
        if ADVANCED in words:
            ctx.meta[ADVANCED] = True
            args = ["--help"]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups, and how many options are not shown."""
        first, rest = grouped(self, ctx)
        for title, options in first.items():
            write_group(ctx, formatter, title, options)
        if not rest:
            return
        if ctx.meta.get(ADVANCED):
            write_group(ctx, formatter, "Advanced", rest)
            return
        formatter.write_paragraph()
        noun = "option" if len(rest) == 1 else "options"
        formatter.write_text(f"{len(rest)} more {noun}: {ctx.command_path} {ADVANCED}")


def grouped(
    command: click.Command, ctx: click.Context
) -> tuple[dict[str, list[click.Option]], list[click.Option]]:
    """Return the options that are shown at first, by group, and the others.

    A verb without a layout shows all of its options.
    """
    options = {
        name: one
        for one in command.get_params(ctx)
        if isinstance(one, click.Option) and not one.hidden
        for name in one.opts
        if name.startswith("--")
    }
    layout = LAYOUT.get(str(command.name))
    if layout is None:
        return {"Options": list(dict.fromkeys(options.values()))}, []
    first = {title: [options[name] for name in names.split()] for title, names in layout.items()}
    last = list(first)[-1] if OUTPUT not in first else OUTPUT
    first[last] += [options[name] for name in ENDS if name in options]
    shown = {one for group in first.values() for one in group}
    return first, [one for one in dict.fromkeys(options.values()) if one not in shown]


def write_group(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    options: list[click.Option],
) -> None:
    """Write one group of options as a table."""
    rows = []
    for option in options:
        names, text = option.get_help_record(ctx) or ("", "")
        for long, short in NUMBERS:
            if names.endswith(long):
                names = names.removesuffix(long) + short
                break
        rows.append((names, text))
    with formatter.section(title):
        formatter.write_dl(rows)
