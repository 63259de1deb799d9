"""LDAP directories, read through ldap3: the only door to it."""
