"""What stands between the engines of a bridge and its journal: each call is let in, priced and accounted for."""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from dspex_testkit.bridge.state.store import StateStore
from dspex_testkit.calls import Caller, Estimate, LMCall
from dspex_testkit.calls.prices import Rates
from dspex_testkit.lm.prices import PriceTable
from dspex_testkit.redaction import NO_LOOKS, Redactor, Redactors, Secrets, error_redactor, redactors_of

if TYPE_CHECKING:
    from dspy.lm15 import Request


class Accounting:
    """Prices calls and passes them to the accounts, which the workers of a pool may share.

    Args:
        store: Has the accounts.
        prices: The user's own table over DSPy's list.
        secrets: What no call is to quote.
        keeps_prompts: Whether calls are to be written with their prompts.
    """

    def __init__(self, store: StateStore, prices: PriceTable, secrets: Secrets, *, keeps_prompts: bool) -> None:
        self._store = store
        self._prices = prices
        self._answers, self._errors = Redactor(secrets, NO_LOOKS), error_redactor(secrets)
        self._hidden: Redactors | None = None
        self._answered: frozenset[str] = frozenset()
        self.keeps_prompts = keeps_prompts

    def admit(
        self, caller: Caller, request: "Request | None", identity: LMCall | None, rates: Rates | None
    ) -> int | None:
        """Let one call through, before anything is sent, and reserve what it may come to.

        Raises:
            BudgetExceededError: A budget that it falls under is used up.
        """
        if not self._store.has_budgets():
            return None
        return self._store.accounts.admit(
            session_id=caller.session_id,
            program_id=caller.program_id,
            estimate=self._estimate(request, identity, rates),
        )

    def _estimate(self, request: "Request | None", identity: LMCall | None, rates: Rates | None) -> Estimate | None:
        if request is None or identity is None:
            return None
        # Here, for a bridge answers before dspy is imported.
        from dspex_testkit.mock_lm.usage import estimate_usage

        tokens = estimate_usage(request, output_chars=0, reasoning_chars=None).input_tokens or 0
        provider, model = identity.provider, identity.model
        if rates is None or self._prices.overrides(provider, model):
            rates = self._prices.rates(provider, model, tokens)
        return Estimate(
            identity.provider_model,
            input_tokens=tokens,
            max_tokens=request.config.max_tokens,
            input_price=None if rates is None else rates.input,
            output_price=None if rates is None else rates.output,
            is_free=identity.mocked and provider == "mock",
        )

    def learn(self, secrets: Collection[str]) -> None:
        """Show these values in no call from here on; they stay what they are in the program's outputs."""
        self._answered |= frozenset(secrets)
        self._hidden = redactors_of(self._answered)

    def record(self, call: LMCall) -> LMCall:
        """Price a finished call where its price is not known yet, or the user's table knows better; write it down."""
        call = call.without_secrets(self._answers, self._errors)
        if self._hidden is not None:
            call = call.without_secrets(*self._hidden)
        if call.error is None and not call.cache_hit and call.engine != "ensemble":
            provider, model = call.provider, call.model
            if call.cost is None or self._prices.overrides(provider, model):
                cost = self._prices.cost(provider, model, call.usage)
                if cost != call.cost:
                    call = replace(call, cost=cost)
        self._store.accounts.record(call)
        return call
