"""Base images: download them, verify them, keep them by sha256, and find those that nobody uses any more."""
