"""Steps: what a step is, when it is fresh, how doit runs it. Knows no source by name."""
