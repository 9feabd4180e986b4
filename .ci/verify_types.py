"""Types of all public symbols are known: `pyright --verifytypes`, as users see them.

Two things of other packages do not count. `softjax.lax` passes on the primitives of
`jax.lax`, which have no annotations; and `PyTree` of jaxtyping is made to be unknown to
type checkers, so that they take anything for one, in the place of which a copy of
jaxtyping says so in words that they know.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFUSED = 'PyTree: TypeAlias = getattr(typing, "foo" + "bar")'
ANYTHING = (
    "from typing_extensions import TypeVar as _TypeVar; "
    '_T = _TypeVar("_T", default=typing.Any); '
    "PyTree: TypeAlias = typing.Union[_T, typing.Any]"
)


def verify(package: str, folder: Path) -> list[str]:
    """The public symbols of a package whose types are not known, and why."""
    paths = [folder, ROOT, ROOT / "solvers"]
    done = subprocess.run(
        ["pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    complete = json.loads(done.stdout)["typeCompleteness"]
    public = [s for s in complete["symbols"] if s["isExported"]]
    unknown = []
    for symbol in public:
        if symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]:
            continue
        told = [d for d in symbol["diagnostics"] if "docstring" not in d["message"]]
        if any(Path(d["file"]).is_relative_to(ROOT) for d in told if d.get("file")):
            why = told[0]["message"].replace("\n", " ")
            unknown.append(f"{symbol['name']}: {why}")
    known = len(public) - len(unknown)
    print(f"{package}: {known} of {len(public)} = {known / len(public):.1%}")
    return unknown


def main() -> int:
    spec = importlib.util.find_spec("jaxtyping")
    assert spec is not None
    assert spec.origin is not None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "jaxtyping"
        shutil.copytree(Path(spec.origin).parent, copy)
        init = copy / "__init__.py"
        text = init.read_text()
        if CONFUSED in text:
            init.write_text(text.replace(CONFUSED, ANYTHING))
        unknown = verify("softjax", Path(folder))
    print(*unknown[:50], sep="\n")
    return int(bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
