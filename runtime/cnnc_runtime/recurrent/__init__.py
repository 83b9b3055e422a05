"""State that a net keeps between frames: on the device, bound from one step to the next."""
