"""The benchmark command: its list of cases, one tiny measurement, and its page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(monkeypatch):
    """Parts of the command, which is no part of what is installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import _cases, _report, _results

    return _cases, _report, _results


def test_cases(benchmarks):
    listed, _, _ = benchmarks
    import softjax as sj

    cases = listed.cases()
    assert len(set(cases)) == len(cases)
    assert sorted(set(cases), key=listed.place) == cases
    assert {case.method for case in cases} - {listed.MASK} == set(sj.methods.METHODS)
    assert all(callable(getattr(sj, case.op)) for case in cases)
    assert not any(case.method == "smooth_sort" and case.mode == "c0" for case in cases)
    for peer in listed.PEERS:
        assert any(listed.has(peer, case) for case in cases)


def test_measures(tmp_path):
    """One case without peers, with the page and no figure of a single size."""
    command = [sys.executable, "-m", "benchmarks", "--no-peers", "--ops", "argmax"]
    command += ["--methods", "softsort", "--modes", "smooth", "--sizes", "8"]
    command += ["--repeats", "1", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "performance.json").read_text())
    assert content["machine"]["jax"]
    found = {(each["library"], each["kind"]): each for each in content["records"]}
    assert found["here", "value"]["seconds"] > 0
    assert found["here", "gradient"]["compile_s"] > 0
    assert found["here", "gradient"]["memory"] >= 0
    assert found["jax.numpy", "gradient"]["status"] == "none"
    assert "### argmax" in (tmp_path / "performance.md").read_text()


@pytest.mark.slow
def test_compile():
    """One case, whose gradient stands in the table and in the summary."""
    command = [sys.executable, "-m", "benchmarks.compile", "--ops", "max"]
    command += ["--methods", "softsort", "--modes", "smooth", "--size", "8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    head, value, gradient, *summary = done.stdout.splitlines()
    assert head.split()[-2:] == ["equations", "kernels"]
    assert value.split()[3] == "value"
    trace, lower, compiled, total, equations, _ = map(float, gradient.split()[4:10])
    assert abs(trace + lower + compiled - total) < 0.02
    assert min(trace, lower, compiled, equations) > 0
    assert [line.split(":")[0] for line in summary[:2]] == [
        "1 of value",
        "1 of gradient",
    ]


def _record(library, kind, n=64, **found):
    case = dict(op="sort", method="softsort", mode="c0", n=n, kind=kind)
    return dict(library=library, **case, **({"status": "ok"} | found))


def test_page(benchmarks, tmp_path):
    """Ratios of times, and why there are none."""
    _, report, results = benchmarks
    records = []
    for kind in ("value", "gradient"):
        compiled = dict(compile_s=0.5, memory=2048)
        hard = dict(compile_s=0.2, memory=512)
        records += [
            _record("here", kind, seconds=4e-3, **compiled),
            _record("jax.numpy", kind, seconds=2e-3, **hard),
            _record("softjax 0.1.1", kind, seconds=6e-3, difference=0.5, **compiled),
            _record("here", kind, n=4096, seconds=1.5, **compiled),
            _record("jax.numpy", kind, n=4096, seconds=0.5, **hard),
            _record("softjax 0.1.1", kind, n=4096, status="memory", **compiled),
        ]
    records += [
        _record("jaxopt", "value", seconds=1e-3, **compiled),
        _record("scipy", "value", status="raises", why="ValueError: a | b"),
        _record("scipy", "gradient", status="none"),
    ]
    machine = dict.fromkeys(
        ("date", "commit", "cpu", "cores", "system", "driver", "runtime"), "some"
    )
    machine |= dict(device="cpu", platform="cpu", python="3", jax="0", packages={})
    settings = dict(
        softness=0.1, batch=1, repeats=3, budget=1.0, patience=9.0, memory=4.0
    )
    path = tmp_path / "performance.json"
    results.Results(machine | dict(peers=None), settings, records).save(path)
    written = report.write(path, tmp_path)
    page = (tmp_path / "performance.md").read_text()
    assert "| `jnp.sort` |  | 2 ms (1) | 500 ms (1) | 200 ms (1) |  |" in page
    assert "| `softsort` | `c0` | 2 / 2 | 3 / 3 | 2.5 | 2 KiB at n = 4096 |" in page
    assert "| softjax 0.1.1 | 1.5 / 1.5\\* | memory | 1 | 1 |" in page
    assert "| scipy | raises | — |" in page
    assert "| `sort` | `softsort` | `c0` | value | jaxopt | 0.25 |  |" in page
    assert "`ValueError: a / b`" in page
    assert tmp_path / "images/performance_sort.png" in written
    assert all(each.stat().st_size < 150_000 for each in written)
