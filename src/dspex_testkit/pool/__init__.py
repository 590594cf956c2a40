"""The harness: bridges as clients see them. Knows the wire and processes, but neither the bridge nor dspy.

BridgeClient      what all of them are: ask and call, aask and acall
BridgeProcess     one process, standalone or as a pool's worker
InProcessBridge   a bridge object in this process
BridgePool        workers for many callers: checkout, sessions, replacement
Dialect           how each of DSPex's launchers behaves: STANDALONE, V1, V2, V3
Starter           the seam to whatever starts processes
chaos             faults to inject
leftovers         which processes are still there
"""

from dspex_testkit.pool import chaos, leftovers
from dspex_testkit.pool.bridge_pool import BridgePool
from dspex_testkit.pool.checkout import CheckedOutWorker, Checkout
from dspex_testkit.pool.checkout_queue import Affinity, AnyWorker, SessionAffinity
from dspex_testkit.pool.client import BridgeClient, Handler, InProcessBridge
from dspex_testkit.pool.connection import Pending, Strays
from dspex_testkit.pool.dialects import STANDALONE, V1, V2, V3, Dialect
from dspex_testkit.pool.launch import Launch, SpawnedProcess, Spawner, StartedProcess, Starter
from dspex_testkit.pool.process import BridgeProcess, Ending, new_worker_id
from dspex_testkit.pool.sessions import ANONYMOUS, SessionInfo, SessionStore, program_data_of
from dspex_testkit.pool.status import PoolStatus, WorkerStatus
from dspex_testkit.pool.supervised import SupervisedBridge
from dspex_testkit.pool.warm import WarmStarter

__all__ = [
    "ANONYMOUS",
    "STANDALONE",
    "V1",
    "V2",
    "V3",
    "Affinity",
    "AnyWorker",
    "BridgeClient",
    "BridgePool",
    "BridgeProcess",
    "CheckedOutWorker",
    "Checkout",
    "Dialect",
    "Ending",
    "Handler",
    "InProcessBridge",
    "Launch",
    "Pending",
    "PoolStatus",
    "SessionAffinity",
    "SessionInfo",
    "SessionStore",
    "SpawnedProcess",
    "Spawner",
    "StartedProcess",
    "Starter",
    "Strays",
    "SupervisedBridge",
    "WarmStarter",
    "WorkerStatus",
    "chaos",
    "leftovers",
    "new_worker_id",
    "program_data_of",
]
