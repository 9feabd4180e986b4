"""Page of the results: prose around tables and figures."""

from pathlib import Path
from typing import Any

from . import _plots, _tables
from ._cases import FLOORS, QUANTILE, K
from ._results import Results

TEMPLATE = Path(__file__).with_name("performance.md")


def write(path: Path, folder: Path) -> list[Path]:
    """Write page and figures from a file of results; the paths of all files."""
    results = Results.read(path)
    figures = _plots.draw(results, folder / "images")
    page = folder / "performance.md"
    page.write_text(render(results, {figure.stem for figure in figures}))
    return [path, page, *figures]


def render(results: Results, figures: set[str]) -> str:
    """Text of the page, which shows the figures of the given names."""
    settings, machine = results.settings, results.machine
    batch = settings["batch"]
    return TEMPLATE.read_text().format(
        device=f" ({_device(machine)})",
        summary=_summary(results),
        batch="One row" if batch == 1 else f"{batch} rows",
        k=K,
        quantile=QUANTILE,
        operators="\n".join(
            _operator(results, op, figures) for op in FLOORS if results.cases(op)
        ),
        faster=_tables.faster_table(results) or "None.",
        failures=_tables.failures(results),
        machine=_machine(machine),
        **{key: value for key, value in settings.items() if key != "batch"},
    )


def _device(machine: dict[str, Any]) -> str:
    if machine["platform"] == "cpu":
        return f"{machine['cores']} cores of {machine['cpu']}"
    return machine["device"]


def _summary(results: Results) -> str:
    table = _tables.summary_table(results)
    if table is None:
        return ""
    return (
        "The others over this library, at the largest n that both reached: medians of "
        "the ratios over all cases that both have, with the range of the middle half. "
        "Above 1, this one is faster or needs less; the last column counts the cases "
        f"in which the other one is faster.\n\n{table}\n"
    )


def _operator(results: Results, op: str, figures: set[str]) -> str:
    parts = [f"### {op}\n"]
    name = f"performance_{op}"
    if name in figures:
        parts.append(
            f"![Time of {op} against n, both axes logarithmic: values above, gradients "
            f"below, a panel for each method.](images/{name}.png)\n"
        )
    parts.append(f"{_tables.operator_table(results, op)}\n")
    peers = _tables.peer_table(results, op)
    if peers:
        parts.append(f"Others, over this library:\n\n{peers}\n")
    return "\n".join(parts)


def _machine(machine: dict[str, Any]) -> str:
    rows = [
        ("date", machine["date"]),
        ("commit", machine["commit"]),
        ("commit of rows kept", ", ".join(machine.get("earlier", []))),
        ("processor", f"{machine['cpu']}, {machine['cores']} cores"),
        ("system", machine["system"]),
        ("device", f"{machine['device']} ({machine['platform']})"),
        ("driver", machine["driver"]),
        ("runtime", machine["runtime"]),
        ("Python", machine["python"]),
        ("JAX", machine["jax"]),
        ("packages", _versions(machine["packages"])),
    ]
    if machine["peers"]:
        peers = {key: machine["peers"][key] for key in ("python", "jax")}
        rows.append(("of the others", _versions(peers | machine["peers"]["packages"])))
    return _tables.markdown(("", ""), [(key, value) for key, value in rows if value])


def _versions(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {found}" for name, found in packages.items())
