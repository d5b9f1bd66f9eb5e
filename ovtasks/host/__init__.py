"""This machine: other programs, files and locks, ports, firmware, and the packages that bring what is missing."""
