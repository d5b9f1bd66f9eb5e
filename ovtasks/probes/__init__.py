"""Looks at a VM from outside: its screen, keyboard, QEMU, guest agent and SPICE server."""
