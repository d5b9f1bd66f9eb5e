"""A layer → a plan of operations for a guest or an image. One module a kind in ``kinds/``."""
