"""Sums, scans, sorts, roots and linear systems, which know nothing of the theory."""
