"""A VM's hardware: the ``libvirt:`` block, and the domain XML and QEMU options that are made from it. No I/O."""
