"""What a device, a mesh or a version of JAX makes necessary, each with its reason."""
