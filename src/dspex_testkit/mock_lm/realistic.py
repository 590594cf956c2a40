"""Texts that look real, by Faker: a field named `email` gets an address, `city` a city. Needs the extra `random`."""

import random
import re
import threading
from typing import Any

from dspex_testkit.errors import InvalidMockSpecError, MissingExtraError
from dspex_testkit.mock_lm.bounds import Bounds
from dspex_testkit.mock_lm.typed_values import Draw, MakeText, fit_length
from dspex_testkit.patterns import check_size

# What a field's name asks for, tried in order: more special names stand first.
_PROVIDERS: tuple[tuple[str, str], ...] = (
    (r"e_?mail", "email"),
    (r"first_?name", "first_name"),
    (r"(last_?name|surname)", "last_name"),
    (r"user_?name", "user_name"),
    (r"(company|organi[sz]ation|employer)", "company"),
    (r"(file_?name)", "file_name"),
    (r"(author|person|name)", "name"),
    (r"(city|town)", "city"),
    (r"country_?code", "country_code"),
    (r"country", "country"),
    (r"(post_?code|zip)", "postcode"),
    (r"street", "street_address"),
    (r"address", "address"),
    (r"(phone|mobile)", "phone_number"),
    (r"(url|uri|link|website)", "url"),
    (r"(ip|ip_?address)", "ipv4"),
    (r"colou?r", "color_name"),
    (r"(job|profession|occupation)", "job"),
    (r"currency", "currency_code"),
    (r"iban", "iban"),
    (r"(uuid|guid)", "uuid4"),
    (r"(date|day)", "date"),
    (r"time", "time"),
    (r"year", "year"),
    (r"month", "month_name"),
    (r"language", "language_name"),
    (r"(title|subject|headline|topic)", "catch_phrase"),
    (r"(word|keyword|tag|label|category)", "word"),
    (r"(text|summary|description|reasoning|rationale|thought|explanation|comment|note)", "paragraph"),
)


class RealisticTexts:
    """Makes texts that look real.

    Args:
        locale: Faker's name of a language and country, such as `de_DE`.

    Raises:
        MissingExtraError: Faker or polyfactory is not installed.
        InvalidMockSpecError: Faker does not know the locale.
    """

    def __init__(self, locale: str) -> None:
        try:
            from faker import Faker
            from polyfactory.value_generators.regex import RegexFactory
        except ImportError:
            raise MissingExtraError("A random mock with realistic values", "random") from None
        try:
            self._faker = Faker(locale)
        except AttributeError:
            raise InvalidMockSpecError(f"locale: Faker does not know {locale!r}; write one such as 'de_DE'.") from None
        self._locale = locale
        self._fakers = threading.local()
        self._new_faker = Faker
        self._regex = RegexFactory
        self._patterns = [(re.compile(rf"(?:^|_){pattern}s?(?:$|_)"), name) for pattern, name in _PROVIDERS]

    def maker(self, draw: Draw) -> MakeText:
        """Texts drawn from one source of numbers."""
        faker = self._faker_of_thread()

        def text(path: str, bounds: Bounds) -> str:
            if bounds.pattern is not None:
                check_size(bounds.pattern)
                return str(self._regex(random=random.Random(draw(path)))(bounds.pattern))
            faker.seed_instance(draw(path))
            return fit_length(str(getattr(faker, self._provider(path))()), bounds)

        return text

    def _faker_of_thread(self) -> Any:
        # Seeded before every text, so one per thread is enough; making one takes milliseconds.
        faker = getattr(self._fakers, "faker", None)
        if faker is None:
            faker = self._fakers.faker = self._new_faker(self._locale, use_weighting=False)
        return faker

    def _provider(self, path: str) -> str:
        # `people[0].home_city` is steered by its last name.
        name = re.sub(r"\[\d+\]", "", path).rsplit(".", 1)[-1].lower()
        for pattern, provider in self._patterns:
            if pattern.search(name) and hasattr(self._faker, provider):
                return provider
        return "sentence"
