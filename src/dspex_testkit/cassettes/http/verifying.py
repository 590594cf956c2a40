"""Mode `verify` at the HTTP level: what the provider answers today, beside the recording."""

from collections.abc import Callable, Sequence
from typing import Any

from vcr.request import Request as VCRRequest

from dspex_testkit.cassettes.drift import Comparator, Drift, unanswered_status, unrecorded
from dspex_testkit.cassettes.traffic.comparing import compare_exchanges
from dspex_testkit.cassettes.traffic.exchange import Exchange
from dspex_testkit.errors import CassetteError, CassetteFormatError

Interchange = tuple[VCRRequest, dict[str, Any]]
"""A request and its response as vcrpy holds them, filtered."""


class Verification:
    """Compares responses with recorded ones.

    Args:
        recorded: What the cassette held when it was opened.
        comparator: Whether two texts say the same.
    """

    def __init__(self, recorded: Sequence[Interchange], *, comparator: Comparator) -> None:
        self._recorded = list(recorded)
        self._comparator = comparator
        self.drifts: list[Drift] = []
        self.uncompared: list[str] = []
        """What the provider did not answer for want of a key or the like."""

    def meet(
        self,
        position: int | None,
        request: VCRRequest,
        response: dict[str, Any],
        miss: Callable[[], CassetteError],
    ) -> None:
        """Take in what the provider answers to the request that was recorded at this position.

        Args:
            position: Where; None where it was not recorded.
            request: As it is kept.
            response: Of the provider.
            miss: What a replay would say of a request that was not recorded.
        """
        status = response["status"]["code"]
        known = None if position is None else self._recorded[position][1]["status"]["code"]
        if (why := unanswered_status(known, status)) is not None:
            self.uncompared.append(f"{request.method} {request.uri}: {why}")
            return
        if position is None:
            self.drifts.append(unrecorded(f"{status}", miss()))
            return
        before, now = _exchange(*self._recorded[position]), _exchange(request, response)
        found = compare_exchanges(before, now, position=position, comparator=self._comparator)
        if found is not None:
            self.drifts.append(found)


def _exchange(request: VCRRequest, response: dict[str, Any]) -> Exchange:
    record = {"method": request.method, "uri": request.uri, "body": request.body}
    try:
        return Exchange.from_record({"request": record, "response": response})
    except CassetteFormatError:
        # A binary body is compared as what it looks like.
        body = str(response["body"]["string"])
        return Exchange.from_record({"request": record, "response": {**response, "body": {"string": body}}})
