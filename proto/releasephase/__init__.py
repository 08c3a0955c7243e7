"""The gRPC contract of releasephase."""
