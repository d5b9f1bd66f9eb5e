"""Backends: libvirt and plain QEMU. Each satisfies :class:`ovtasks.backends.contract.Backend`."""
