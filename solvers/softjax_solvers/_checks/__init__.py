"""What the author of a regularizer is told."""
