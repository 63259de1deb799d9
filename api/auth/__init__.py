"""Who asks: tokens of rosterd's own issuer and virtual keys. The only door to PyJWT."""
