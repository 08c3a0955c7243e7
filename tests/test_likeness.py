"""What of a container goes into a request: its own counts more, what the image has itself not at all."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.config import Config, PolicyTable
from released.engine.description import Defaults, Description
from released.engine.errors import EngineUnreachable
from released.errors import InvalidRequest, PolicyViolation, Unavailable, Violation
from released.model.release import Mount
from released.policy.powers import Powers
from released.policy.rules import Rules
from released.service.likeness import Taken, merged, take
from released.service.validation import read_secrets
from releasephase.v1.release_pb2 import Mount as MountMessage
from releasephase.v1.release_service_pb2 import EnvironmentVariable, StartReleaseRequest
from support.properties import deterministic
from support.samples import a_spec
from support.start_request import request

NOTHING = Defaults({}, "")
SECRET = "s3cret-value"


def container(**fields: Any) -> Description:
    """One that serves and has nothing, changed so."""
    nothing = Description("c0ffee", "web", "sha256:1", True, False, {}, (), (), "")
    return nothing._replace(**fields)


names = st.sampled_from(["A", "B", "C", "PATH", "RELEASE_COMMAND", "RELEASEPHASE_X", "__releasephase_x"])
values = st.sampled_from(["", "1", "2", SECRET])
variables = st.dictionaries(names, values)
users = st.sampled_from(["", "app", "1000:1000"])
networks = st.lists(st.sampled_from(["one", "two", "host"]), unique=True)
targets = st.sampled_from(["/a", "/b", "/b/c"])
mounts = st.dictionaries(targets, st.tuples(st.sampled_from(["/srv", "data"]), st.booleans()))
requests = st.builds(
    lambda env, networks, mounts, user: request(
        env=[EnvironmentVariable(name=name, value=value) for name, value in env.items()],
        networks=networks,
        mounts=[MountMessage(source=source, target=f"/.{at}/") for at, (source, _) in mounts.items()],
        user=user,
        like_container="c0ff",
    ),
    variables.map(lambda env: {name: value for name, value in env.items() if not is_ours(name)}),
    networks,
    mounts,
    users,
)
defaults = st.builds(Defaults, variables, users)


def is_ours(name: str) -> bool:
    return name.startswith(("RELEASE", "__releasephase_"))


@st.composite
def containers(draw: st.DrawFn) -> tuple[Description, Defaults]:
    """A container of an image: it has the image's variables, or others instead, and more."""
    image = draw(defaults)
    has = container(
        environment={**image.environment, **draw(variables)},
        networks=tuple(draw(networks)),
        mounts=tuple(Mount(source, at, ro) for at, (source, ro) in draw(mounts).items()),
        user=draw(users) or image.user,
    )
    return has, image


@deterministic
@given(requests, containers())
def test_merged_request(sent: StartReleaseRequest, like: tuple[Description, Defaults]) -> None:
    """With the old image it makes the container's environment, and what was sent counts more, all over."""
    has, image = like
    before = StartReleaseRequest.FromString(sent.SerializeToString())
    whole, likeness, refusal, _ = merged(sent, has, image)
    assert sent == before
    assert refusal is None
    assert likeness is not None
    own = {each.name: each.value for each in sent.env}
    made = {**image.environment, **{each.name: each.value for each in whole.env}}
    expected = {**has.environment, **own}
    assert {name: value for name, value in made.items() if not is_ours(name)} == {
        name: value for name, value in expected.items() if not is_ours(name)
    }
    assert not any(is_ours(each.name) for each in whole.env)
    assert list(whole.networks) == (list(sent.networks) or list(has.networks))
    assert whole.user in (sent.user, has.user)
    assert (whole.user or image.user) == (sent.user or has.user)
    at = {mount.target: mount for mount in has.mounts}
    own_places = {mount.target.removeprefix("/.").rstrip("/") for mount in sent.mounts}
    added = [Mount(each.source, each.target, each.read_only) for each in whole.mounts[len(sent.mounts) :]]
    assert added == [mount for place, mount in at.items() if place not in own_places]


@deterministic
@given(requests, containers())
def test_likeness_tells_what_was_added_by_name(
    sent: StartReleaseRequest, like: tuple[Description, Defaults]
) -> None:
    """Behind what was sent, and nothing else in the request is another; no value is in it."""
    whole, likeness, *_ = merged(sent, *like)
    assert likeness is not None
    own = [each.name for each in sent.env]
    assert [each.name for each in whole.env] == [*own, *likeness.environment_names]
    assert list(whole.networks) == [*sent.networks, *likeness.networks]
    assert list(whole.mounts[: len(sent.mounts)]) == list(sent.mounts)
    assert whole.user == (likeness.user or sent.user)
    assert (likeness.container_id, likeness.container_name) == ("c0ffee", "web")
    assert whole.like_container == "web"  # of an id, too: what is stored is looked through for secrets
    assert SECRET not in repr(likeness)
    for field in ("env", "networks", "mounts", "user", "like_container"):
        whole.ClearField(field)
        sent.ClearField(field)
    assert whole == sent


@deterministic
@given(requests, containers())
def test_what_was_taken_is_taken_once(sent: StartReleaseRequest, like: tuple[Description, Defaults]) -> None:
    """The request that was made is like the container."""
    whole = merged(sent, *like).request
    assert merged(whole, *like).request == whole


def test_variable_that_the_image_has_otherwise() -> None:
    """What somebody set is taken, also to nothing."""
    has = container(environment={"A": "", "B": "same"})
    taken = merged(request(), has, Defaults({"A": "1", "B": "same"}, ""))
    assert list(taken.request.env) == [EnvironmentVariable(name="A")]


def secret_names(environment: dict[str, str], **fields: Any) -> set[str]:
    """The variables of a release, like a container with these, whose values are masked."""
    taken = merged(request(**fields), container(environment=environment), NOTHING)
    secrets, names = read_secrets(taken.request, ("*TOKEN*",))
    return set(taken.recorded_in(a_spec(secret_names=names), secrets).secret_names)


@pytest.mark.parametrize(
    "value",
    [
        "sk_live_51H8xKq",
        "3f2a9b1c-55d0-4c11-9d5a-000000000000",
        "Sommer2024!",
        "two words",
        "123456789",
        "aB" * 9,
    ],
)
def test_value_that_may_be_a_secret_is_one(value: str) -> None:
    """Whatever the name of its variable is."""
    assert secret_names({"A": value, "B": "production"}) == {"A"}


@pytest.mark.parametrize(
    "value",
    [
        *("", "1", "production", "shop.settings.live", "Europe/Berlin", "en_US.UTF-8", "/srv/media"),
        *(
            "redis://cache:6379/0",
            "10.0.3.17:5432",
            "postgres://shop:pw-4-shop@db/shop",
            "https://shop.example/",
        ),
    ],
)
def test_words_are_no_secret(value: str) -> None:
    """To mask them would spoil the output; unless the name of the variable says otherwise."""
    assert secret_names({"A": value}) == set()
    assert secret_names({"A_TOKEN": value}) == {"A_TOKEN"}


def test_value_that_stands_in_the_request_is_no_secret() -> None:
    """It is stored anyway: a revision in a label, say; also where one value stands within another."""
    revision, longer = "f3a9c27d1e", "shop-f3a9c27d1e-2"
    environment = {"A": revision, "B": longer, "C": "f3a9c27d1f"}
    assert secret_names(environment, labels={"build": longer}) == {"C"}
    assert secret_names(environment, labels={"revision": revision}) == {"B", "C"}


def test_more_than_can_be_masked_is_refused() -> None:
    """It is said what to do."""
    with pytest.raises(InvalidRequest, match=r"web has more than 131072 bytes .* have those in `env`"):
        secret_names({f"V{number}": f"x{number}" * 10_000 for number in range(10)})


def test_violations_of_what_was_taken_name_what_it_is_in_the_container() -> None:
    """The caller has sent no such field; those that were sent are told as always."""
    has = container(
        environment={"B": SECRET}, networks=("net",), mounts=(Mount("data", "/data"),), user="app"
    )
    sent = request(env=[EnvironmentVariable(name="A")], mounts=[MountMessage(target="/a")])
    taken = merged(sent, has, NOTHING)
    fields = ["env[0].name", "env[1].value", "networks[0]", "mounts[1].source", "user", "mounts[0]", "env"]
    with pytest.raises(InvalidRequest) as caught, taken.explained():
        raise InvalidRequest([Violation(field, "is wrong") for field in fields])
    assert caught.value.violations == (
        ("env[0].name", "is wrong"),
        ("like_container", "the variable 'B' of web: is wrong"),
        ("like_container", "the network net of web: is wrong"),
        ("like_container", "the mount at /data of web: is wrong"),
        ("like_container", "the user of web: is wrong"),
        ("mounts[0]", "is wrong"),
        ("env", "is wrong"),
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (InvalidRequest, InvalidRequest, InvalidRequest),
        (InvalidRequest, PolicyViolation, InvalidRequest),
        (PolicyViolation, InvalidRequest, InvalidRequest),
        (PolicyViolation, PolicyViolation, PolicyViolation),
    ],
)
def test_bad_input_comes_before_what_is_forbidden(
    one: type[InvalidRequest | PolicyViolation],
    other: type[InvalidRequest | PolicyViolation],
    expected: type[Exception],
) -> None:
    """As for all fields: all of both is told."""
    taken = Taken(request(), refusal=one([Violation("like_container", "is none")]))
    with pytest.raises(expected) as caught, taken.explained():
        raise other([Violation("user", "is wrong")])
    assert isinstance(caught.value, InvalidRequest | PolicyViolation)
    assert [violation.field for violation in caught.value.violations] == ["user", "like_container"]


def test_values_are_in_no_representation() -> None:
    """Should one be written to the log by accident."""
    has, image = container(environment={"A": SECRET}), Defaults({"B": SECRET}, "")
    assert SECRET not in f"{has} {image} {merged(request(), has, image)}"


def policy(**keys: Any) -> Any:
    """What says who may take from which container, of a policy for all targets."""
    table = {"default": PolicyTable(**keys)}
    return SimpleNamespace(
        rules=lambda target: Rules.of(target, table, 2**30, Powers(frozenset(), frozenset()))
    )


class FakeEngine:
    """One that loses what a real one keeps while its container runs."""

    async def find_container(self, name: str) -> Description:
        return container(name=name)

    async def find_defaults(self, image_id: str) -> Defaults | None:
        if image_id == "sha256:1":
            return None
        raise EngineUnreachable("it went away")


async def test_container_whose_image_is_gone() -> None:
    """Its own variables can't be told from its image's: nothing is guessed."""
    engine: Any = FakeEngine()
    taken = await take(request(like_container="web"), Config(), policy(like_containers=("web",)), engine)
    assert taken.likeness is None
    with pytest.raises(InvalidRequest, match="the image of web is gone"), taken.explained():
        pass


async def test_engine_that_goes_away_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked twice."""
    engine: Any = FakeEngine()
    monkeypatch.setattr(engine, "find_container", _other_image)
    with pytest.raises(Unavailable, match="it went away"):
        await take(request(like_container="web"), Config(), policy(like_containers=("web",)), engine)


async def _other_image(name: str) -> Description:
    return container(name=name, image_id="sha256:2")


async def test_engine_is_not_asked_for_names_that_are_not_allowed() -> None:
    """Only an id may be that of a container that is."""
    engine: Any = None
    taken = await take(request(like_container="bank"), Config(), policy(like_containers=("web",)), engine)
    with pytest.raises(PolicyViolation), taken.explained():
        pass


def test_request_that_takes_nothing_is_as_it_was() -> None:
    """And so are the errors about it."""
    taken = Taken(request())
    with pytest.raises(InvalidRequest) as caught, taken.explained():
        raise InvalidRequest([Violation("env[0].name", "is wrong")])
    assert caught.value.violations == (("env[0].name", "is wrong"),)
    with taken.explained():
        pass
