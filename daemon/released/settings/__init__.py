"""The release commands in applications' settings: who changes them, and how."""
