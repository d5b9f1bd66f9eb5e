"""Tests of packages and repositories, each with the real package manager in a throw-away root."""
