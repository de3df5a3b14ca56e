"""A package, so that the proxy of ``conftest`` ends with the last test of this folder."""
