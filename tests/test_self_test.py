"""`python -m softjax`: what it prints, and that it fails when a check does."""

import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest

from softjax import __main__, _self_test, solvers

SAME = (lambda x: 2 * x, lambda: 2 * _self_test._X)
WRONG = (lambda x: x, lambda: 1.01 * _self_test._X)
BROKEN = (lambda x: x.nothing, lambda: 0.0)
FLAT = (lambda x: x[0], lambda: np.full(3, 0.2))


@pytest.mark.parametrize(
    ("checks", "failed"),
    [
        ({"same": SAME}, []),
        ({"wrong": WRONG, "same": SAME}, ["wrong"]),
        ({"broken": BROKEN, "flat": FLAT, "same": SAME}, ["broken", "flat"]),
    ],
)
def test_main(monkeypatch, capsys, checks, failed):
    monkeypatch.setattr(_self_test, "CHECKS", checks)
    assert __main__.main() == (1 if failed else 0)
    out = capsys.readouterr().out
    for package in ("jax", "jaxlib", "equinox", "lineax", "optimistix"):
        assert re.search(rf"^{package} +{re.escape(version(package))}$", out, re.M)
    assert re.search(r"^devices +\S", out, re.M)
    for name in solvers.SOLVERS:
        assert name in out
    assert f"JAXopt {version('jaxopt')}" in out
    assert re.findall(r"^FAILED +(\w+):", out, re.M) == failed
    assert re.search(r"^ok +same$", out, re.M)


def test_packages_that_are_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(_self_test, "CHECKS", {"same": SAME})
    monkeypatch.setattr(__main__, "SOLVERS", {"no-such-package": "Nothing"})
    monkeypatch.setattr(__main__, "PACKAGES", ("no-such-package",))
    assert __main__.main() == 0
    out = capsys.readouterr().out
    assert "not installed" in out
    assert "Nothing" not in out


@pytest.mark.slow
def test_command():
    command = [sys.executable, "-m", "softjax"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none of 10 failed" in done.stdout
