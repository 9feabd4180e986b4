"""Pictures of the documentation; `docs/gallery.py` draws them."""
