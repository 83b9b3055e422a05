"""The rewrites, one law a file: its equation on line 1, the class of the same name below it."""
