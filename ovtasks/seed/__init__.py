"""What a guest is told at its first boot: cloud-init's files, as text and bytes. No I/O."""
