"""Mode `verify` at the HTTP level: what the provider answers today, beside the recording."""

from collections.abc import Callable, Sequence
from typing import Any

from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes.drift import Comparator, Drift, unrecorded
from dspex_testkit.cassettes.interaction import Interaction
from dspex_testkit.cassettes.traffic.comparing import compare_exchanges
from dspex_testkit.cassettes.traffic.exchange import Exchange
from dspex_testkit.errors import CassetteFormatError

Interchange = tuple[VCRRequest, dict[str, Any]]
"""A request and its response as vcrpy holds them, filtered."""


class Verification:
    """Compares responses with recorded ones, in recorded order.

    Args:
        recorded: What the cassette held when it was opened.
        same: Whether two requests are the same one.
        comparator: Whether two texts say the same.
        repeats: Recordings stand for any number of equal requests.
    """

    def __init__(
        self,
        recorded: Sequence[Interchange],
        *,
        same: Callable[[VCRRequest, VCRRequest], bool],
        comparator: Comparator,
        repeats: bool,
    ) -> None:
        self._recorded = list(recorded)
        self._same = same
        self._comparator = comparator
        self._repeats = repeats
        self.compared: set[int] = set()
        """Positions of recordings that were asked for."""
        self.drifts: list[Drift] = []

    def meet(self, request: VCRRequest, response: dict[str, Any]) -> None:
        """Take in what the provider answers."""
        position = self._position_of(request)
        if position is None:
            answer = str(response["status"]["code"])
            self.drifts.append(unrecorded(Interaction({}, error={"code": answer, "message": request.uri})))
            return
        self.compared.add(position)
        before, now = _exchange(*self._recorded[position]), _exchange(request, response)
        found = compare_exchanges(before, now, position=position, comparator=self._comparator)
        if found is not None:
            self.drifts.append(found)

    def _position_of(self, request: VCRRequest) -> int | None:
        alike = [i for i, (recorded, _) in enumerate(self._recorded) if self._same(request, recorded)]
        waiting = [position for position in alike if position not in self.compared]
        if waiting:
            return waiting[0]
        return alike[-1] if alike and self._repeats else None


def _exchange(request: VCRRequest, response: dict[str, Any]) -> Exchange:
    record = {"method": request.method, "uri": request.uri, "body": request.body}
    try:
        return Exchange.from_record({"request": record, "response": response})
    except CassetteFormatError:
        # A binary body is compared as what it looks like.
        body = str(response["body"]["string"])
        return Exchange.from_record({"request": record, "response": {**response, "body": {"string": body}}})
