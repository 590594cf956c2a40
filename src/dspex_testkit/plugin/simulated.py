"""`provider_sim`: one server per process of the run, and for each test targets of its own on it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex_testkit.calls import LMCall
    from dspex_testkit.simulator import ProviderSimulator, Target


class SimulatedProviders:
    """Providers on this machine, as one test sees them.

    Every target has a URL and a key of its own, by which the server tells apart what belongs to whom; so tests do not
    meet, although they share the server.

    Args:
        simulator: The server, running.
    """

    def __init__(self, simulator: "ProviderSimulator") -> None:
        self.simulator = simulator
        """The server, which other tests use too."""
        self.targets: list[Target] = []
        """The targets of this test."""

    @property
    def url(self) -> str:
        """The server's root."""
        return self.simulator.url

    def target(
        self,
        model: str,
        *,
        spec: Any = None,
        faults: Iterable[Any] = (),
        limits: Mapping[str, Any] | None = None,
    ) -> "Target":
        """A model of this test's own, with what a client needs to reach it.

        Args:
            model: With its provider: ``openai/gpt-4o-mini``, ``anthropic/…``, ``gemini/…``.
            spec: What it answers: a mock spec; left out, answers derived from what is asked.
            faults: What goes wrong on the way.
            limits: `requests_per_minute`, `tokens_per_minute`.

        Raises:
            InvalidMockSpecError: The spec cannot be used.
            UsageError: Something else cannot.
        """
        target = self.simulator.target(model, spec=spec, faults=faults, limits=limits)
        self.targets.append(target)
        return target

    @property
    def calls(self) -> "list[LMCall]":
        """What was asked of this test's targets, in order."""
        mine = {target.id for target in self.targets}
        return [call for call in self.simulator.calls if call.lm_id in mine]

    def __repr__(self) -> str:
        return f"<provider_sim {self.url}, {len(self.targets)} targets>"
