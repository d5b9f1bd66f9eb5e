"""Backends: libvirt and plain QEMU. Each satisfies :class:`ovtasks.instance.backend.Backend`."""
