"""What a bridge's command line says.

DSPex sends ``--mode`` and ``--worker-id`` or nothing at all; those forms are read here without help. Every other one
(a setting as an option, ``--help``, a mistake) is left to argparse, which takes longer to import than Python to start.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, TypeAlias

    Mode: TypeAlias = "Literal['standalone', 'pool-worker']"

MODES: "tuple[Mode, ...]" = ("standalone", "pool-worker")


class Arguments:
    """A command line, read.

    Args:
        mode: ``standalone`` or ``pool-worker``.
        worker_id: The pool's name for this worker.
        flags: Settings by name, as text.
    """

    __slots__ = ("flags", "mode", "worker_id")

    def __init__(self, mode: "Mode", worker_id: "str | None", flags: "dict[str, str] | None" = None) -> None:
        self.mode = mode
        self.worker_id = worker_id
        self.flags = flags or {}


def read_arguments(argv: "Sequence[str]") -> Arguments:
    """Read a command line.

    Raises:
        SystemExit: It asked for help or the version (status 0), or cannot be understood (status 2).
    """
    mode = MODES[0]
    worker_id = None
    rest = list(argv)
    while len(rest) > 1 and (rest[:1] == ["--worker-id"] or (rest[0] == "--mode" and rest[1] in MODES)):
        name, value = rest[:2]
        if value.startswith("--"):
            break
        if name == "--mode":
            mode = MODES[MODES.index(value)]
        else:
            worker_id = value
        del rest[:2]
    return Arguments(mode, worker_id) if not rest else _parse(argv)


def _parse(argv: "Sequence[str]") -> Arguments:
    import argparse

    from dspex_testkit import __version__
    from dspex_testkit.setting_table import FILE_NAME, SETTINGS

    parser = argparse.ArgumentParser(
        prog="dspex-bridge",
        description="Answer DSPex's commands, one JSON object per frame, on standard input and output.",
        epilog="Each setting can also be given in the environment, or under its name in "
        f"{FILE_NAME} beside the launcher; the command line wins over the environment, and that over the file.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dspex-bridge {__version__}")
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="default: %(default)s")
    parser.add_argument("--worker-id", metavar="ID", help="the pool's name for this worker")
    settings = parser.add_argument_group("settings")
    for setting in SETTINGS:
        if setting.flag:
            settings.add_argument(
                setting.flag,
                dest=setting.name,
                metavar=setting.kind.metavar,
                help=f"{setting.help} [{setting.env}; default: {setting.shown_default}]".replace("%", "%%"),
            )
    read = vars(parser.parse_args(argv))
    mode, worker_id = read.pop("mode"), read.pop("worker_id")
    return Arguments(mode, worker_id, {name: value for name, value in read.items() if value is not None})
