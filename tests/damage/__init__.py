"""Damaged and planted state: every file that a run leaves × every kind of damage."""
