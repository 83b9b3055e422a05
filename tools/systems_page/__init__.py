"""The systems of the field, and the page that says how each was compiled and measured: tools/systems.py."""
