"""docker-py, told what to do line by line, in a process that stays as a deploy tool's would.

Runs with the interpreter that has docker-py. Each line of the input is a JSON object, and so is each answer.
"""

import json
import sys
from typing import Any

import docker
from docker.types import LogConfig


def run_commands(client: Any, image: str, count: int) -> dict[str, Any]:
    """Run `true` in so many containers, one after the other; an exit code other than 0 is an exception."""
    for _ in range(count):
        client.containers.run(image, ["true"], **_like_ours({}), remove=True)
    return {"ran": count}


def stream(client: Any, image: str, line: str, log_options: dict[str, str]) -> dict[str, Any]:
    """Follow the output of a shell line to its end; count it."""
    options = _like_ours(log_options)
    container = client.containers.run(image, ["/bin/sh", "-c", line], **options, detach=True)
    try:
        received = sum(map(len, container.logs(stream=True, follow=True)))
        return {"received": received, "status": container.wait()["StatusCode"]}
    finally:
        container.remove(force=True, v=True)


def _like_ours(log_options: dict[str, str]) -> dict[str, Any]:
    return {"init": True, "log_config": LogConfig(type="local", config=log_options)}


def main() -> None:
    """Do what the lines say until there are no more."""
    client = docker.from_env(timeout=300)
    for line in sys.stdin:
        asked = json.loads(line)
        work = run_commands if asked.pop("work") == "commands" else stream
        try:
            answer = work(client, **asked)
        except (docker.errors.DockerException, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
