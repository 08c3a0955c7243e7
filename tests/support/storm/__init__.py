"""A storm: the daemon is killed at random moments while many releases run, and then everything is counted.

What the releases write and leave behind is known beforehand, byte by byte, so that a line that is missing or
stored twice, a command that ran again, and a container that nobody removed are all seen.
"""
