"""Tables of the documents that are made from registries; --regen writes them anew."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeseg
from edgeseg.host.models import BACKBONES
from edgeseg.host.models.backbones.base import Backbone
from edgeseg.host.quantization.observers import OBSERVERS
from edgeseg.lint.check import all_remarks

DOCS = Path(edgeseg.__file__).parent.parent / "docs"
if not DOCS.is_dir():
    pytest.skip("the documents are not installed", allow_module_level=True)


def lint_rules() -> list[str]:
    rows = [f"| `{r.rule}` | {r.severity} | {r.why} |" for r in all_remarks()]
    return ["| rule | severity | why |", "|---|---|---|", *rows]


def observers() -> list[str]:
    rows = []
    for name in OBSERVERS:
        text = str(OBSERVERS.load(name).__doc__)
        (source,) = re.findall(r"Source: (.+?)\.\n", text)
        rows.append(f"| `{name}` | {text.splitlines()[0].rstrip('.')} | {source} |")
    return ["| observer | what it does | source |", "|---|---|---|", *rows]


def backbones() -> list[str]:
    rows = []
    for name in BACKBONES:
        backbone = BACKBONES.load(name)
        published = backbone.published_names is not Backbone.published_names
        rows.append(f"| `{name}` | {backbone.source} | {'yes' if published else 'no'} |")
    return ["| backbone | network | takes published weights |", "|---|---|---|", *rows]


# Document -> the name in its comment, and what makes the table's lines.
TABLES: dict[tuple[str, str], Callable[[], list[str]]] = {
    ("tensorrt.md", "lint rules"): lint_rules,
    ("quantization.md", "observers"): observers,
    ("models.md", "backbones"): backbones,
}


@pytest.mark.parametrize(("document", "name"), TABLES)
def test_a_table_says_what_the_registry_holds(document: str, name: str, regen: bool) -> None:
    path = DOCS / document
    text = path.read_text()
    block = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    found = block.search(text)
    assert found, f"{document} has no <!-- {name} -->"
    expected = "\n".join(TABLES[document, name]()) + "\n"
    if regen:
        path.write_text(text.replace(found[0], found[1] + expected + found[3]))
        return
    assert found[2] == expected, "run pytest tests/meta/test_generated.py --regen"
