"""Benchmarks: `python -m benchmarks` measures all operators, a script one question."""
