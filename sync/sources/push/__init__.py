"""What identity providers push to us: read back from our own tables, as any other directory is read."""
