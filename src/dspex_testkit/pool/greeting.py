"""The first ping: a process counts as started once it has answered it."""

from typing import TYPE_CHECKING

from dspex_testkit.errors import WorkerStartError
from dspex_testkit.pool.complaints import details, quoted_log

if TYPE_CHECKING:
    from dspex_testkit.pool.process import BridgeProcess


def greet(process: "BridgeProcess") -> None:
    """Send the dialect's first ping and wait for its answer.

    Raises:
        WorkerStartError: It is refused.
        WorkerExitedError: The process ended instead of answering.
        WorkerTimeoutError: It did not answer in time.
    """
    dialect = process.dialect
    pending = process.submit("ping", dialect.init_args(process.worker_id), id=dialect.init_ping_id)
    response = process.result(pending, timeout=dialect.init_timeout)
    if response.success and (not dialect.init_needs_ok or response.result.get("status") == "ok"):
        return
    said = f"status {response.result.get('status')!r}" if response.success else response.message
    raise WorkerStartError(f"{process} refused its first ping: {said}{quoted_log(process)}", details=details(process))
