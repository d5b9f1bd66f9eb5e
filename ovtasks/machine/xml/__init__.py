"""A machine → libvirt's domain XML."""
