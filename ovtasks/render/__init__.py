"""spec → text and bytes. Pure: the same input gives the same bytes; nothing here reads or writes a file."""
