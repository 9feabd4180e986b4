"""Every public name is in the documentation, with an example that runs."""

import ast
import doctest
import inspect
import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

import softjax as sj

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import public_names  # noqa: E402
from parametrize import each  # noqa: E402

NAMES = [name for name in public_names.names() if name not in public_names.VARIANTS]


def _docstring(name):
    """The docstring of a public name; of a constant, the string that follows it."""
    value = public_names.resolve(name)
    if inspect.isfunction(value) or inspect.isclass(value):
        own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        if own and "jaxtyping" not in str(getattr(value, "__module__", "")):
            return own
    last = name.rpartition(".")[2]
    for path in ROOT.glob("s*/**/*.py"):
        body = ast.parse(path.read_text()).body
        for before, after in itertools.pairwise(body):
            targets = getattr(before, "targets", [getattr(before, "target", None)])
            described = isinstance(after, ast.Expr)
            if described and last in (getattr(x, "id", None) for x in targets):
                return inspect.cleandoc(ast.literal_eval(after.value))
    return ""


# A third of the operators' examples; all of them take two minutes together.
_FAST = tuple(name for name in NAMES if name.count(".") == 1)[::3]


@each("name", NAMES, fast=_FAST)
def test_example(name):
    words = _docstring(name)
    namespace = dict(jax=jax, jnp=jnp, sj=sj)
    example = doctest.DocTestParser().get_doctest(words, namespace, name, None, 0)
    assert example.examples, f"the docstring of {name} has no example"
    with jnp.printoptions(precision=3, suppress=True):
        found = doctest.DocTestRunner().run(example)
    assert not found.failed


def test_interface_pages_are_complete():
    """Variants are listed when the site is built; `docs/check_site.py` looks there."""
    pages = "\n".join(p.read_text() for p in ROOT.glob("docs/api/*.md"))
    shown = {line.removeprefix("::: ") for line in pages.splitlines()}
    assert not set(NAMES) - shown


def test_variants_name_their_operators():
    for name in public_names.VARIANTS:
        operator = name.removesuffix("_st")
        assert f"[`{operator}`][]" in public_names.resolve(name).__doc__
