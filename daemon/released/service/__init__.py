"""The RPC handlers: they validate, call and convert, nothing else."""
