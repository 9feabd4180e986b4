"""Linear systems with structure, and what solves them."""
