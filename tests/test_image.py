"""References to images, repository digests, and the progress of pulls, as the engine tells them."""

from typing import Any

import pytest

from released.engine.image import _auth_config, _digest_for, _explained, _Progress
from released.model.events import ImagePullProgress
from released.model.image_reference import is_image_id, qualified
from released.model.release import RegistryAuth

SHA = "sha256:" + "a" * 64
OTHER_SHA = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("shop", "docker.io/library/shop"),
        ("shop:2", "docker.io/library/shop:2"),
        (f"shop@{SHA}", f"docker.io/library/shop@{SHA}"),
        ("acme/shop:2", "docker.io/acme/shop:2"),
        ("acme/web/shop:2", "docker.io/acme/web/shop:2"),
        ("docker.io/acme/shop", "docker.io/acme/shop"),
        ("registry.example/shop:2", "registry.example/shop:2"),
        ("registry:5000/shop:2", "registry:5000/shop:2"),
        ("localhost/shop", "localhost/shop"),
        ("[::1]:5000/shop", "[::1]:5000/shop"),
        ("docker.io/shop:2", "docker.io/library/shop:2"),
        ("index.docker.io/shop:2", "docker.io/library/shop:2"),
        ("index.docker.io/acme/shop", "docker.io/acme/shop"),
        ("Registry/shop", "Registry/shop"),
    ],
)
def test_reference_is_read_as_docker_reads_it(reference: str, expected: str) -> None:
    """A first part is a registry only if it has a dot or a port, or is localhost."""
    assert qualified(reference) == expected


@pytest.mark.parametrize(("reference", "is_id"), [(SHA, True), (SHA[:-1], False), ("sha256:2", False)])
def test_only_a_whole_id_is_one(reference: str, is_id: bool) -> None:
    """The engine would take its head for one, too, which a tag of a repository called sha256 looks like."""
    assert is_image_id(reference) is is_id


@pytest.mark.parametrize(
    ("reference", "digests", "expected"),
    [
        pytest.param("shop:2", [], "", id="never in a registry"),
        pytest.param("shop:2", [f"shop@{SHA}"], f"shop@{SHA}", id="the only one"),
        pytest.param(
            "registry.example/shop:2",
            [f"mirror.example/shop@{OTHER_SHA}", f"registry.example/shop@{SHA}"],
            f"registry.example/shop@{SHA}",
            id="the repository asked for",
        ),
        pytest.param(
            "registry:5000/shop",
            [f"registry:5000/shopfront@{OTHER_SHA}", f"registry:5000/shop@{SHA}"],
            f"registry:5000/shop@{SHA}",
            id="a port is no tag",
        ),
        pytest.param(
            "docker.io/library/shop:2",
            [f"acme/shop@{OTHER_SHA}", f"shop@{SHA}"],
            f"shop@{SHA}",
            id="the same repository in another form",
        ),
        pytest.param(
            f"shop:2@{SHA}",
            [f"acme/shop@{OTHER_SHA}", f"shop@{SHA}"],
            f"shop@{SHA}",
            id="asked for by tag and digest",
        ),
        pytest.param(OTHER_SHA, [f"acme/shop@{SHA}"], f"acme/shop@{SHA}", id="asked for by its id"),
        pytest.param("shop:2", [f"acme/shop@{SHA}"], "", id="never pulled from there"),
    ],
)
def test_digest_is_that_of_the_repository_asked_for(
    reference: str, digests: list[str], expected: str
) -> None:
    """An image may be known by several repositories: another one's name would only mislead."""
    assert _digest_for(reference, digests) == expected


def message(status: str, layer: str = "", current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"status": status, "id": layer, "progressDetail": detail}


def test_progress_adds_up_the_layers() -> None:
    """One number each for layers and bytes, out of what the engine says of one layer at a time."""
    progress = _Progress()
    seen = [
        progress.after(said)
        for said in (
            message("Pulling from library/shop", "2"),
            message("Pulling fs layer", "aaa"),
            message("Already exists", "bbb"),
            message("Downloading", "aaa", 10, 100),
            message("Pulling fs layer", "ccc"),
            message("Downloading", "ccc", 5, 50),
            message("Download complete", "aaa"),
            message("Extracting", "aaa", 70, 100),
            message("Pull complete", "aaa"),
            message("Status: Downloaded newer image for shop:2"),
        )
    ]
    assert [(p.layers, p.layers_done, p.downloaded_bytes, p.total_bytes) for p in seen] == [
        (0, 0, 0, 0),
        (1, 0, 0, 0),
        (2, 1, 0, 0),
        (2, 1, 10, 100),
        (3, 1, 10, 100),
        (3, 1, 15, 150),
        (3, 1, 105, 150),
        (3, 1, 105, 150),
        (3, 2, 105, 150),
        (3, 2, 105, 150),
    ]


def test_progress_is_in_the_engines_words() -> None:
    """With the layer they are about; a tag is none."""
    progress = _Progress()
    assert progress.after(message("Pulling from library/shop", "2")).status == "Pulling from library/shop"
    assert progress.after(message("Downloading", "aaa", 1, 2)).status == "aaa: Downloading"


def test_progress_never_exceeds_its_total_without_sizes() -> None:
    """Some registries do not say how large a layer is."""
    progress = _Progress()
    progress.after(message("Pulling fs layer", "aaa"))
    assert progress.after(message("Pull complete", "aaa")) == ImagePullProgress(
        status="aaa: Pull complete", layers=1, layers_done=1
    )


def test_message_without_anything_is_no_error() -> None:
    """The engine may send what we do not know."""
    assert _Progress().after({"aux": {"Digest": SHA}}) == ImagePullProgress(status="")


@pytest.mark.parametrize(
    ("said", "with_credentials", "advice"),
    [
        ("manifest unknown", False, "check the image's name and tag"),
        ("manifest for shop:9 not found", True, "check the image's name and tag"),
        ("pull access denied", False, "give credentials for the registry"),
        ("no basic auth credentials", False, "give credentials for the registry"),
        ("unauthorized: wrong password", True, "check the credentials"),
        ("dial tcp: connection refused", True, "check that the registry can be reached from this host"),
    ],
)
def test_failed_pull_says_what_to_do(said: str, with_credentials: bool, advice: str) -> None:
    """The engine's own words first."""
    assert (
        _explained("shop:9", said, with_credentials)
        == f"the image shop:9 could not be pulled: {said}; {advice}"
    )


def test_credentials_are_a_token_or_a_user_name_and_password() -> None:
    """In the form of the engine's X-Registry-Auth."""
    assert _auth_config(RegistryAuth("ci", "pw")) == {"username": "ci", "password": "pw"}
    assert _auth_config(RegistryAuth(identity_token="t")) == {"identitytoken": "t"}
