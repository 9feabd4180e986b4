"""Results of measurements, as a file and to look them up."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ._cases import Case, place

Record = dict[str, Any]


@dataclasses.dataclass
class Results:
    """Contents of the file of results.

    - `machine`, `settings`: descriptions of what the times depend on.
    - `records`: one for each case, size, library and kind (value, gradient).
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    records: list[Record]

    def __post_init__(self):
        self._found = {
            (case_of(each), each["n"], each["library"], each["kind"]): each
            for each in self.records
        }

    @classmethod
    def read(cls, path: Path) -> "Results":
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write a record a line, so that two versions can be compared."""
        records = ",\n".join(f"  {json.dumps(_rounded(each))}" for each in self.records)
        path.write_text(
            f'{{\n"machine": {json.dumps(self.machine, indent=2)},\n'
            f'"settings": {json.dumps(self.settings)},\n'
            f'"records": [\n{records}\n]\n}}\n'
        )

    def find(self, case: Case, n: int, library: str, kind: str) -> Record | None:
        return self._found.get((case, n, library, kind))

    def cases(self, op: str | None = None) -> list[Case]:
        found = dict.fromkeys(map(case_of, self.records))
        return sorted((case for case in found if op in (None, case.op)), key=place)

    def sizes(self) -> list[int]:
        return sorted({record["n"] for record in self.records})


def case_of(record: Record) -> Case:
    return Case(record["op"], record["method"], record["mode"])


def _rounded(value: Any) -> Any:
    """Value in three digits, more than a second measurement agrees in."""
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return value


def summarize(record: Record) -> str:
    """Line about a record, to follow a run by."""
    start = f"{' '.join(case_of(record)):30}{record['n']:>8}  {record['kind']:9}"
    start += f"{record['library']:14}"
    if record["status"] == "ok":
        return f"{start}{1e3 * record['seconds']:.3g} ms"
    return f"{start}{record['status']} {record.get('why', '')}".rstrip()
