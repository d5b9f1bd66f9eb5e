"""The ground: YAML with places, sizes, durations, URLs, secrets, JSON. Values that every room knows. No I/O."""
