"""SCIM 2.0, pushed to us (RFC 7643, RFC 7644): checked, kept as sent, answered. The only door to scim2-models and scim2-server."""
