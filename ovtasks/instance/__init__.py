"""A VM that exists: its folder with disk, seed, keys and ports, and its life from ``create`` to ``destroy``."""
