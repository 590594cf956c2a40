"""Commands about cassettes: a test names the one that its session plays or records, and says whether it passed."""

from typing import TYPE_CHECKING, Any

from dspex_testkit.bridge.args import Args
from dspex_testkit.errors import InvalidArgsError

if TYPE_CHECKING:
    from dspex_testkit.bridge.dispatcher import Bridge


def use_cassette(bridge: "Bridge", args: Args) -> dict[str, Any]:
    """Have a session play, or record, a cassette; `name` is relative to the folder of cassettes."""
    name = args.text("name")
    if name is None:
        raise InvalidArgsError("Missing argument 'name': use_cassette wants a cassette such as 'my_app/my_test'")
    cassette = bridge.lms.cassettes.use(args.session_id, name, args.text("mode"))
    return {"status": "in_use", "session_id": args.session_id, **cassette.report().to_dict()}


def eject_cassette(bridge: "Bridge", args: Args) -> dict[str, Any]:
    """End the use of the session's cassette; what was recorded is kept only where `passed` is true."""
    passed = args.get("passed")
    if not isinstance(passed, bool):
        raise InvalidArgsError("Missing argument 'passed': eject_cassette wants true where the test passed, else false")
    report = bridge.lms.cassettes.eject(args.session_id, passed=passed)
    return {"status": "ejected", "session_id": args.session_id, **report.to_dict()}
