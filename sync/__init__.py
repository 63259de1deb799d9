"""THE CORE: a directory's words become our rows."""
