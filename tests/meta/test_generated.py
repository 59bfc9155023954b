"""Tables of the documents that are made from registries; --regen writes them anew."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeseg
from edgeseg.lint.check import all_remarks

DOCS = Path(edgeseg.__file__).parent.parent / "docs"
if not DOCS.is_dir():
    pytest.skip("the documents are not installed", allow_module_level=True)


def lint_rules() -> list[str]:
    rows = [f"| `{r.rule}` | {r.severity} | {r.why} |" for r in all_remarks()]
    return ["| rule | severity | why |", "|---|---|---|", *rows]


# Document -> the name in its comment, and what makes the table's lines.
TABLES: dict[tuple[str, str], Callable[[], list[str]]] = {
    ("tensorrt.md", "lint rules"): lint_rules,
}


@pytest.mark.parametrize(("document", "name"), TABLES)
def test_a_table_says_what_the_registry_holds(document: str, name: str, regen: bool) -> None:
    path = DOCS / document
    text = path.read_text()
    block = re.compile(rf"(<!-- {name} -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)
    found = block.search(text)
    assert found, f"{document} has no <!-- {name} -->"
    expected = "\n".join(TABLES[document, name]())
    if regen:
        path.write_text(text.replace(found[2], expected))
        return
    assert found[2] == expected, "run pytest tests/meta/test_generated.py --regen"
