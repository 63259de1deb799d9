"""SCIM 2.0 providers, pulled over HTTP (RFC 7643, RFC 7644, RFC 9865). We only ever read."""
