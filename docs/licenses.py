"""Table of the dependencies of SoftJAX and their licences, from their metadata.

Run with `python docs/licenses.py`; `docs/supply.md` has the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

# Names of SPDX for what classifiers and older metadata call otherwise.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD",
}


def dependencies(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """All that a distribution needs at run time, by normalized names."""
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        needed = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if needed not in found:
            try:
                found[needed] = distribution(needed)
            except PackageNotFoundError:
                continue
            dependencies(needed, found)
    return found


def license_of(package: Distribution) -> str:
    """The licence that a distribution declares, in the words of SPDX if it can be."""
    expression = package.metadata.get("License-Expression")
    if expression:
        return expression
    classifiers = package.metadata.get_all("Classifier") or []
    names = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    declared = (package.metadata.get("License") or "unknown").splitlines()[0]
    return " AND ".join(SPDX.get(name, name) for name in names) or declared


def table() -> Iterator[tuple[str, str, str]]:
    """Name, declared range and licence; what is only needed by others has no range."""
    ranges = {
        re.sub(r"[-_.]+", "-", r.name).lower(): str(r.specifier)
        for r in map(Requirement, distribution("softjax").requires or [])
        if r.marker is None
    }
    found = dependencies("softjax", {})
    for name in sorted(found, key=lambda name: (name not in ranges, name)):
        yield name, ranges.get(name, ""), license_of(found[name])


if __name__ == "__main__":
    print("| package | range | licence |\n| --- | --- | --- |")
    for name, allowed, license in table():
        print(f"| {name} | {allowed and f'`{allowed}`'} | {license} |")
