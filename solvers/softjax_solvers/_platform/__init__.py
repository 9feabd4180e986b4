"""Workarounds for devices, meshes and versions of JAX, each with its reason."""
