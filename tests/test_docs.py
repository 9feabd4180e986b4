"""Every block of Python in the documentation runs, one page in one namespace.

Pictures that are drawn when the site is built are not looked for; `docs/check_site.py`
does so.
"""

import re
from pathlib import Path

import pytest

import softjax as sj

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/**/*.md"))


def _name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_code_runs(page):
    pattern = r"^```python[^\n]*\n(.*?)^```"
    blocks = re.findall(pattern, page.read_text(), flags=re.DOTALL | re.MULTILINE)
    namespace = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=_name)
def test_links_lead_somewhere(page):
    """Relative ones; what is elsewhere is not looked at."""
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    local = [t for t in targets if not t.startswith(("http", "generated/"))]
    missing = [t for t in local if not (page.parent / t).exists()]
    assert not missing


def test_table_of_what_takes_weights():
    page = (ROOT / "docs/padded_weighted_ragged.md").read_text()
    (header, *rows) = re.findall(r"^\| (?:method|`\").*\|$", page, flags=re.MULTILINE)
    names, *cells = ([*line.replace("`", "").split("|")] for line in (header, *rows))
    operators = [name.strip() for name in names[2:-1]]
    found = {
        line[1].strip().strip('"'): {
            name
            for name, cell in zip(operators, line[2:-1], strict=True)
            if cell.strip() == "yes"
        }
        for line in cells
    }
    assert set(operators) == sj.methods.get_method("softsort").takes_weights
    takes = {name: make().takes_weights for name, make in sj.methods.METHODS.items()}
    assert found == takes
