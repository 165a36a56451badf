"""A Headless PM server of our own: compatible with the original, without its defects unless they are asked for."""
