r"""Write edgeseg/zoo/times.json, the times that `edgeseg models` shows, from a bench.

    edgeseg export --fp32 -o fp32
    edgeseg bench fp32 NAME… --data synthetic:24 --threads 1 --backend onnxruntime \
        --backend openvino -o bench.json
    python tools/zoo_times.py bench.json

Every time is a share of the first row's, so another machine gives nearly the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLACE = Path(__file__).resolve().parent.parent / "edgeseg" / "zoo" / "times.json"


def times(bench: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the document: for each model and runtime the ratio to the first row, with interval.

    Args:
        bench: the document of `edgeseg bench -o`; its first row is the reference.
        names: the shipped models.

    Raises:
        ValueError: the bench lacks one of them.
    """
    first = bench["rows"][0]["run"]["name"]
    found: dict[str, dict[str, Any]] = {}
    rows = {row["run"]["name"]: row["bundle"] for row in bench["rows"]}
    for pair in bench["ratios"]:
        bundle, runtime = rows[pair["b"]], pair["b"].split()[-1]
        if pair["a"] != first or bundle["name"] not in names or bundle["precision"] == "fp32":
            continue
        found.setdefault(bundle["name"], {})[runtime] = {
            "ratio": round(1 / pair["latency_ratio"], 3),
            "low": round(1 / pair["high"], 3),
            "high": round(1 / pair["low"], 3),
        }
    missing = sorted(set(names) - set(found))
    if missing:
        raise ValueError(f"the bench has no row of {', '.join(missing)}")
    return {
        "reference": first,
        "machine": bench["machine"].get("cpu"),
        "command": __doc__.split("\n\n")[1],
        "rows": {name: found[name] for name in names},
    }


def main(arguments: list[str]) -> int:
    """Write the file; return the exit code."""
    bench = json.loads(Path(arguments[0]).read_text())
    names = sorted(path.parent.name for path in PLACE.parent.glob("*/manifest.json"))
    PLACE.write_text(json.dumps(times(bench, names), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
