"""The warm host: one process that has DSPy loaded and forks the bridges of one owner.

An owner is whoever starts bridges: a BEAM (through its `erl_child_setup`) or a pytest process. What DSPex starts
becomes a launcher: it hands its descriptors to a worker that the host forks, and stays as the one process that its
owner sees, living and dying with the worker.

    place       whether a system can have a host, and where an owner's is to be found
    contact     connecting to it, and starting it where it is absent
    messages    what a launcher and the host say to each other, in `light_json`
    launcher    the launched process: the hand-over to a worker, and then the wait for its end
    early       its answers to pings while a host is still starting
    main        the host's own start: import, warm up, serve
    supervisor  its loop: forking and reaping
    store_server  the state that the workers of a pool share, answered in order
    worker      what a fork does to become a bridge
    orphans     what a worker has left behind
    direct      a worker without a launcher, for a Python harness

The launcher's side imports nothing that its first ping would have to wait for.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.host.direct import Worker, start_worker

__all__ = ["Worker", "start_worker"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from dspex_testkit.host import direct

        return getattr(direct, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
