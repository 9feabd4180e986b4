"""Every block of Python in the documentation runs, one page in one namespace.

So does every notebook, whose prose is held to what it says.

Pictures that are drawn when the site is built are not looked for; `docs/check_site.py`
does so.
"""

import importlib
import re
import runpy
from pathlib import Path

import pytest

import softjax as sj

ROOT = Path(__file__).parents[1]
PAGES = sorted(p for p in ROOT.glob("docs/**/*.md") if "generated" not in p.parts)
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.py"))


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


# What the prose of a notebook says of its results.
HOLDS = {
    "first_gradient": lambda n: n["loss"](n["end"], 1.0, "hard") == 0,
    "learning_to_rank": lambda n: (
        # At step 20, and at the end.
        n["curves"]["one_minus_ndcg"][2, 1] > n["curves"]["squared_error"][2, 1] + 0.05
        and all(curve[-1, 1] > curve[0, 1] + 0.2 for curve in n["curves"].values())
    ),
    "own_regularizer": lambda n: (
        n["sj"].solvers.check_regularizer(n["Shifted"]()).consistent
    ),
    "soften_program": lambda n: n["errors"](n["rules"]) < n["errors"](n["guess"]) / 2,
    "sort_digits": lambda n: n["share"] > 0.6,  # by chance: 1 in 120
}


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=_name)
def test_notebook_runs(notebook, monkeypatch):
    for name in ("matplotlib", "optax", "sklearn"):
        pytest.importorskip(name)
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    plt.switch_backend("Agg")  # needs no screen
    namespace = runpy.run_path(str(notebook))
    assert HOLDS[notebook.stem](namespace)


def test_notebooks_are_pages_of_the_site():
    site = (ROOT / "mkdocs.yml").read_text()
    found = re.findall(r"generated/notebooks/(\w+)\.md", site)
    assert sorted(found) == [path.stem for path in NOTEBOOKS] == sorted(HOLDS)


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


@pytest.mark.slow
def test_table_of_softness(monkeypatch):
    """The one table of how to choose without times, as its command prints it."""
    for name in ("matplotlib", "tqdm"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import choices

    page = (ROOT / "docs/choose.md").read_text()
    rows = list(choices.softness_rows())
    new = choices.table(rows)
    replaced = choices.replace(page, "softness", new)
    lines = [text.splitlines() for text in (page, replaced)]
    changed = [pair for pair in zip(*lines, strict=True) if pair[0] != pair[1]]
    for pair in changed:
        printed, found = (
            [float(cell.replace(",", "")) for cell in line.split("|")[1:-1]]
            for line in pair
        )
        assert found == pytest.approx(printed, rel=0.1)
    for name in choices.TABLES:
        assert choices.replace(page, name, new) != page or name == "softness"


@pytest.fixture
def beside_others(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("beside_others")


def test_table_beside_others_is_that_of_its_command(beside_others):
    assert beside_others.table() in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_cells_beside_others(beside_others):
    """Cells of installed packages; the command checks an earlier version apart."""
    here = [beside_others.HERE, beside_others.OTT, beside_others.JAXOPT]
    assert not list(beside_others.wrong(here))
