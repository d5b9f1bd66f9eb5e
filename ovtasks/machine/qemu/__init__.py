"""A machine → QEMU's command line.

The words for each field of ``libvirt:`` are made in that field's file of ``blocks`` or ``devices``. Each value that is
rendered is marked as taken. Whatever is left at the end is refused by its full path: so no field is silently ignored.
"""
