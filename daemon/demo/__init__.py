"""A whole rosterd on an embedded directory: nothing to configure, no network, nothing left behind."""
