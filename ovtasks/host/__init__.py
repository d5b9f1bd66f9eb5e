"""This machine: subprocesses, paths, locks, tools and the packages that bring them."""
