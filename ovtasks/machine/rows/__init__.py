"""The spec's ``libvirt:`` block: one declaration per field, and what is derived from it."""
