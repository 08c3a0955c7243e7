"""The container engine: the only part of the daemon that talks to Docker."""
