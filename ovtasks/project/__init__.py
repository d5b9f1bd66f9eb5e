"""What was written in ``vms.yml`` → frozen dataclasses. Reads files, touches nothing else."""
