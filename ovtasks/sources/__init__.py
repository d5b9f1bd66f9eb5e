"""What a VM can be made from: one module or folder for each ``source.kind``."""
