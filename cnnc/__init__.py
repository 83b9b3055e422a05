"""cnnc."""
