"""What a process answers to a ping while it has no bridge; one that has leaves that to the bridge."""

from dspex_testkit.bridge.ping import ping_result
from dspex_testkit.protocol import Request, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.runtime.settings import Settings


def answer_ping(
    request: Request, settings: "Settings", *, mode: str, worker_id: "str | None", started: float
) -> Response:
    """The answer to a ping.

    Args:
        request: The ping.
        settings: What the bridge was told.
        mode: ``standalone`` or ``pool-worker``.
        worker_id: As given on the command line, or learned from an earlier ping.
        started: `time.monotonic` when the process started.
    """
    result = ping_result(
        request.args,
        mode=mode,
        worker_id=worker_id,
        started=started,
        offline_policy=settings.offline_policy,
    )
    return Response.ok(request.id, result)
