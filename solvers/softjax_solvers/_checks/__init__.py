"""Checks of regularizers for their authors."""
