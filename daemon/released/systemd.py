"""Telling the service manager how the daemon is doing: sd_notify(3), without its library."""

import os
import socket


def notify(state: str) -> None:
    """Send `state`, such as READY=1, if a service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.connect(address)
        connection.sendall(state.encode())
