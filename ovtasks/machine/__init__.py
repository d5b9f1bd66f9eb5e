"""A VM's machine: its ``libvirt:`` block, read once, and what libvirt and QEMU make of it. Pure: no I/O."""
