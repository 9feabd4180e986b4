"""Loops over arrays, which know nothing of the theory."""
