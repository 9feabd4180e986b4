"""`python -m benchmarks` measures the operators; the scripts here answer one question
each."""
