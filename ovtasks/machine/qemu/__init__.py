"""The spec's ``libvirt:`` mapping as QEMU options, one module per family of fields.

Every value that is rendered is taken out of the mapping; what is left at the end is refused by its full path. So
nothing that was written is ever silently ignored.
"""
