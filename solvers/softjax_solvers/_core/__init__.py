"""The interfaces of the layer, the one rule of derivatives, and the entrance."""
