"""Commands about cassettes: a test names the one that its session plays or records, and says whether it passed."""

from typing import Any

from dspex_testkit.bridge.arguments import Args
from dspex_testkit.bridge.bridge import BridgeState
from dspex_testkit.errors import InvalidArgsError


def use_cassette(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """Have a session play, or record, a cassette; `name` is relative to the folder of cassettes."""
    name = args.text("name")
    if name is None:
        raise InvalidArgsError("Missing argument 'name': use_cassette wants a cassette such as 'my_app/my_test'")
    deck = bridge.lms.cassettes
    report = deck.use(args.session_id, name, args.text("mode"), _options(args))
    return {"status": "in_use", "session_id": args.session_id, "shared": deck.shared, **report.to_dict()}


def _options(args: Args) -> dict[str, Any]:
    """The options, tried here: where the cassette is opened, nobody can tell whose mistake it was."""
    given = dict(args.mapping("options") or {})
    from dspex_testkit.cassettes import SENDABLE_OPTIONS, cassette_options, sent_options

    unknown = sorted(given.keys() - SENDABLE_OPTIONS)
    if unknown:
        raise InvalidArgsError(
            f"use_cassette knows no option {unknown[0]!r}; the options are {', '.join(sorted(SENDABLE_OPTIONS))}"
        )
    try:
        cassette_options(**sent_options(given))
    except TypeError as error:
        raise InvalidArgsError(f"The options of use_cassette cannot be used: {error}") from None
    return given


def eject_cassette(bridge: BridgeState, args: Args) -> dict[str, Any]:
    """End the use of the session's cassette; what was recorded is kept only where `passed` is true."""
    passed = args.get("passed")
    if not isinstance(passed, bool):
        raise InvalidArgsError("Missing argument 'passed': eject_cassette wants true where the test passed, else false")
    report = bridge.lms.cassettes.eject(args.session_id, passed=passed)
    return {"status": "ejected", "session_id": args.session_id, **report.to_dict()}
