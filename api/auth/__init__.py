"""Who asks: tokens of rosterd's own issuer and of others, virtual keys, users whom a proxy asserts. The only door to PyJWT."""
