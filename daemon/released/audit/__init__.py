"""The audit log: an append-only SQLite database with one writer and many readers."""
