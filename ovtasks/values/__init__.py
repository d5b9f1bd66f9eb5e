"""The ground: values and texts that every room understands. No I/O."""
