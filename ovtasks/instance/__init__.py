"""One VM's own directory: identity and keys."""
