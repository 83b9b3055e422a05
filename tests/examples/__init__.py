"""The lecture experiments run."""
