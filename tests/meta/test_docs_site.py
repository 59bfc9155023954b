"""The pages of the site: complete, generated from the code, and without dead links."""

import json
import re
from pathlib import Path

import docs_site
import pytest

from edgeseg.cli import VERBS
from edgeseg.core.report import Report
from edgeseg.errors import LatencyMissed

if not (docs_site.REPOSITORY / "mkdocs.yml").is_file():
    pytest.skip("not a checkout", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("site") / "docs"
    return out, json.dumps(docs_site.stage(out))


def test_every_page_stands_in_the_navigation_and_the_other_way_round(site):
    out, nav = site
    pages = {path.relative_to(out).as_posix() for path in out.rglob("*.md")}
    assert pages == set(re.findall(r'"([\w./-]+\.md)"', nav))


def test_no_link_leads_nowhere(site):
    out, _ = site
    for path in out.rglob("*.md"):
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
        missing = [link for link in links if not (path.parent / link).is_file()]
        assert not missing, f"{path.relative_to(out)}: {missing}"


def test_every_verb_has_a_page_with_all_of_its_options(site):
    out, _ = site
    for name in VERBS:
        assert (out / "reference" / "verbs" / f"{name}.md").is_file()
    train = (out / "reference" / "verbs" / "train.md").read_text()
    assert "## Schedule" in train
    assert "--photometry [none&#124;mild" in train


def test_files_errors_registries_and_the_api_come_from_the_code(site):
    out, _ = site
    reference = out / "reference"
    files = (reference / "files.md").read_text()
    for key in (
        "`max_infer_p99_ms`",
        "`miou`",
        "`encoder_weights`",
        "`observer`",
        "`output_stride`",
    ):
        assert key in files
    assert all(f"`{name}`" in files for name in Report.__dataclass_fields__)
    assert (
        f"| `LatencyMissed` | {LatencyMissed.exit_code} |" in (reference / "errors.md").read_text()
    )
    assert "`edgeseg.lint_rules`" in (reference / "registries.md").read_text()
    assert "::: edgeseg.runtime.prediction.model.load" in (reference / "api.md").read_text()
