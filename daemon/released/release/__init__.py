"""One release, from its image to its result."""
