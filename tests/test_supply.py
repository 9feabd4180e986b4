"""What both packages may not do: run text, unpickle, or reach for the network."""

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import softjax
import softjax_solvers

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))
import licenses  # noqa: E402

FOLDERS = [Path(package.__file__).parent for package in (softjax, softjax_solvers)]
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))

CALLS = {"eval", "exec", "compile", "__import__"}
"""Built-in functions that run text. `compile` is a method of programs of JAX too."""

MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"),
    *("socket", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc", "requests"),
    *("httpx", "aiohttp", "asyncio", "subprocess", "ctypes", "tempfile"),
}


def forbidden(text: str) -> list[str]:
    """Calls, imports and attributes in a program that no file may have."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(name)) if name in CALLS:
                found.append(name)
            case ast.Call(func=ast.Attribute(attr="system" | "popen" as name)):
                found.append(name)
            case ast.keyword(arg="allow_pickle"):
                found.append("allow_pickle")
            case ast.Import(names):
                found += [n.name for n in names if n.name.split(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module), level=0):
                found += [module] * (module.split(".")[0] in MODULES)
            case _:
                pass
    return found


def test_nothing_forbidden_is_written():
    assert len(FILES) > 200
    found = {str(path): forbidden(path.read_text()) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    [
        *("eval('1')", "exec('x = 1')", "__import__('os')", "compile('1', '', 'eval')"),
        *("import pickle", "import urllib.request", "from http import client"),
        *("np.load(f, allow_pickle=True)", "os.system('ls')"),
    ],
)
def test_what_is_forbidden_is_found(text):
    assert forbidden(text)


WALK = """
import socket, sys

class Refused(Exception):
    pass

# By an audit hook, which sees what C does as well as what Python does.
def hook(event, args):
    if event.startswith("socket."):
        raise Refused(event)

sys.addaudithook(hook)
for name in sys.argv[1:]:
    __import__(name)
import jax.numpy as jnp, softjax as sj
assert abs(float(sj.max(jnp.array([0.2, 1.0]), mode="hard")) - 1) < 1e-6
try:
    socket.getaddrinfo("localhost", 80)
except Refused:
    print("refused")
"""


def test_no_network_at_import_or_run():
    names = [
        info.name
        for package in (softjax, softjax_solvers)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    assert len(names) > 200
    command = [sys.executable, "-c", WALK, *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n"  # and sockets would have been


def test_licences_are_listed():
    page = (ROOT / "docs/supply.md").read_text()
    listed = re.findall(r"^\| ([\w-]+) \| `?(.*?)`? \| (\S.*) \|$", page, re.MULTILINE)
    listed = {name: (allowed, terms) for name, allowed, terms in listed}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = dict(re.findall(r"([\w-]+)(>=\S+)", " ".join(project["dependencies"])))
    assert {
        name: allowed for name, (allowed, _) in listed.items() if ">" in allowed
    } == (ranges)
    for name, _, terms in licenses.table():
        assert name in listed
        if name in ranges:  # others' differ with the version of Python
            assert listed[name][1] == terms


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.escape(project["version"])
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.match(rf"\S+ {version}\b", re.findall(r"^## .*", changelog, re.M)[0])
    assert re.search(
        rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.M
    )
