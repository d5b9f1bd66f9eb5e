"""What runs VMs: libvirt or plain QEMU, and ``contract``, which says what every backend does."""
