"""Opening a session with a container so that nothing it says is missed or heard twice."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from released.engine.attachment import Attachment
from released.engine.engine import FoundContainer
from released.engine.errors import EngineRefused
from released.model.events import OutputLost
from released.model.release import Secrets
from released.model.states import ReleaseState, Stream
from released.release.context import ReleaseContext
from released.release.masking.masking import StreamMasker
from released.release.resumed import ResumedStreams
from released.release.seam import LACKS_HEAD, Seam, StoredPiece
from released.release.session import Session
from released.release.standing import Standing
from released.release.streams import LiveStreams

ASK = "URG"
"""The signal by which a supervisor is asked to say where the streams are (see supervisor.sh)."""

WITHHELD = (
    "it may show secrets, and which these are is known no more: the daemon's runtime folder was emptied"
)


@asynccontextmanager
async def opened_session(
    context: ReleaseContext, container: FoundContainer, standing: Standing
) -> AsyncIterator[Session]:
    """Read a container's streams until the end of the block, from before its start if it has not started."""
    engine, container_id = context.engine, container.container_id
    async with AsyncExitStack() as stack:
        attachment = None
        if container.running or not container.started:
            attachment = await stack.enter_async_context(engine.attach(container_id))
        session: Session
        # Asked again, now that a start can't be missed: that of a daemon that died may have been on its way.
        if attachment and not container.started and not await _was_started(context, container, standing):
            source = LiveStreams(attachment, container.nonce)
            maskers = context.masking.maskers()
            session = Session(source, context.recorder, maskers, within=container.command_index)
        else:
            session = await _resumed(context, container, standing, attachment)
        stack.push_async_callback(session.close)
        yield session


async def _was_started(context: ReleaseContext, container: FoundContainer, standing: Standing) -> bool:
    return standing.resumed and await context.engine.has_started(container.container_id)


async def _resumed(
    context: ReleaseContext, container: FoundContainer, standing: Standing, attachment: Attachment | None
) -> Session:
    """A session that goes on where what is stored ends."""
    if attachment and container.nonce:
        with suppress(EngineRefused):  # it is only asked
            await context.engine.signal_container(container.container_id, ASK)
    stored_bytes = await context.query.stored_bytes(context.release_id)
    context.recorder.resume(stored_bytes)
    seam = Seam(
        lambda command_index, stream: _stored(context, command_index, stream),
        context.recorder,
        context.journal,
        frozenset(standing.finished),
        # With markers, a head that is missing is noticed by its first.
        may_lack_head=not container.nonce,
    )
    running = standing.running.index if standing.running else None
    maskers = await _maskers(context, container, running)

    def on_lost(stream: Stream, reason: str) -> None:
        session.lose_output(stream)
        if reason == LACKS_HEAD:
            session.lose_place(stream, running)
        context.journal.note(OutputLost(stream=stream, command_index=running, reason=reason))

    source = ResumedStreams(
        context.engine,
        container.container_id,
        container.nonce,
        attachment,
        on_lost,
        has_been_ready=bool(container.nonce) and context.journal.state is ReleaseState.RUNNING,
    )
    session = Session(source, context.recorder, maskers, seam, container.command_index)
    return session


async def _maskers(
    context: ReleaseContext, container: FoundContainer, running: int | None
) -> dict[Stream, StreamMasker]:
    """What masks the streams of a container, even if nobody but the engine knows its secrets any more."""
    if not context.masking.is_known:
        environment = await context.engine.environment_of(container.container_id)
        if environment.keys() >= set(context.spec.environment_names):
            context.masking.learn(
                Secrets({name: environment[name] for name in context.spec.environment_names})
            )
    if not context.masking.is_known:
        for stream in Stream:
            context.journal.note(OutputLost(stream=stream, command_index=running, reason=WITHHELD))
    return context.masking.maskers()


async def _stored(
    context: ReleaseContext, command_index: int | None, stream: Stream
) -> AsyncIterator[StoredPiece]:
    sequence = 0
    while page := await context.query.output_after(context.release_id, command_index, stream, sequence):
        for output in page:
            yield StoredPiece(output.data, output.omitted_bytes)
        sequence = page[-1].sequence
