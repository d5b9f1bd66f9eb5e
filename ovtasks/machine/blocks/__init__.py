"""What the ``libvirt:`` block has besides devices: one file for each part of the machine."""
