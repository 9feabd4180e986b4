"""Solvers of other packages, which are imported on first use."""
