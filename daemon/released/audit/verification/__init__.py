"""Verifying an audit log: of a daemon that goes on writing, a database that nobody has open, or an export."""
