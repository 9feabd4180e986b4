"""Every block of Python in the documentation runs, one page in one namespace."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem
)
def test_links_lead_somewhere(page):
    """Relative ones; what is elsewhere is not looked at."""
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    local = [t for t in targets if not t.startswith("http")]
    missing = [t for t in local if not (page.parent / t).exists()]
    assert not missing
