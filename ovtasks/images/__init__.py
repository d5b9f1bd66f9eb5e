"""Base images: fetch, check, keep by sha256, find out what nobody uses any more."""
