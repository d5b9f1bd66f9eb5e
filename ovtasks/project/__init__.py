"""The user's files: reads ``vms.yml`` and its like, checks them, and returns frozen dataclasses."""
