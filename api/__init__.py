"""THE FACE: the Litestar app. Tokens in, JSON out."""
