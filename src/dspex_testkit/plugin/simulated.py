"""`provider_sim`: one server per process of the run, and for each test targets of its own on it."""

from contextlib import suppress
from typing import TYPE_CHECKING, Unpack

from dspex_testkit.errors import UsageError

if TYPE_CHECKING:
    from dspex_testkit.calls import LMCall
    from dspex_testkit.errors import CassetteError
    from dspex_testkit.simulator import ProviderSimulator, Target
    from dspex_testkit.simulator.registry import TargetSettings


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

    def target(self, model: str, **settings: "Unpack[TargetSettings]") -> "Target":
        """A model of this test's own, with what a client needs to reach it.

        Args:
            model: With its provider: ``openai/gpt-4o-mini``, ``anthropic/…``, ``gemini/…``.
            settings: What it answers (`spec`, or `cassette` with `cassette_options`), its `faults` and its `limits`, as
                of `ProviderSimulator.target`.

        Raises:
            InvalidMockSpecError: The spec cannot be used.
            CassetteError: The cassette cannot.
            UsageError: Something else cannot.
        """
        target = self.simulator.target(model, **settings)
        self.targets.append(target)
        return target

    def close(self) -> "list[CassetteError]":
        """Let the server forget this test.

        Returns:
            What was asked of its cassettes and is not in them; of a target that the test itself removed, nothing.
        """
        misses: list[CassetteError] = []
        for target in self.targets:
            with suppress(UsageError):  # the test has removed it
                report = target.cassette
                misses += () if report is None else report.misses
                target.remove()
        self.simulator.journal.clear()
        return misses

    @property
    def calls(self) -> "list[LMCall]":
        """What was asked of this test's targets, in order."""
        mine = {target.id for target in self.targets}
        return [call for call in self.simulator.calls if call.lm_id in mine]

    def __repr__(self) -> str:
        return f"<provider_sim {self.url}, {len(self.targets)} targets>"
