"""Adapters to solvers of other packages, which are imported on first use."""
