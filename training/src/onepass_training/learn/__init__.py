"""Examples, losses and the loop of the one training stage."""
