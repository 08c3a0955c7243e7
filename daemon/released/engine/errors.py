"""What can go wrong with the engine, as a release sees it::

EngineError
├── EngineUnreachable   no answer: down, hung, or the connection was cut
├── EngineRefused       it answered, and said no
└── PullFailed          an image could not be pulled, and why
"""


class EngineError(Exception):
    """Something went wrong with the engine; the message is for people."""


class EngineUnreachable(EngineError):
    """The engine did not answer, or not in time: what it did is not known."""


class EngineRefused(EngineError):
    """The engine refused, with an HTTP status: 404 for what does not exist, 409 for a conflict.

    `said` are its own words, without what was being done.
    """

    def __init__(self, status: int, doing: str, said: str) -> None:
        super().__init__(f"{doing}: {said}")
        self.status = status
        self.said = said


class PullFailed(EngineError):
    """An image could not be pulled."""
