"""What is cut out, in which forms, and what is left alone."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.redaction import (
    LOOKS,
    LOOKS_OF_FORMAT_1,
    NO_LOOKS,
    REDACTED,
    Redactor,
    Secret,
    Secrets,
    count_redactions,
    credentials_of,
    error_redactor,
    secrets_by_place,
    secrets_of_environment,
    without_credentials,
)

KEY = "planted/key+of a provider=1"
LOOKING = Redactor(Secrets(), LOOKS)


@pytest.fixture
def cutting() -> Redactor:
    """Cuts one known secret and nothing else."""
    return Redactor(Secrets([Secret(KEY)]), NO_LOOKS)


def test_two_secrets_of_one_name_are_both_known() -> None:
    """A secret is a member of a set; what it is called does not matter."""
    secrets = Secrets([Secret("the-first-key", "the key of m"), Secret("the-second-key", "the key of m")])
    assert Redactor(secrets, NO_LOOKS).text("the-first-key, the-second-key") == f"{REDACTED}, {REDACTED}"


@pytest.mark.parametrize(
    "spelt",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote(KEY),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(b"x" + KEY.encode() + b"yz").decode(),
        base64.urlsafe_b64encode(b"ab" + KEY.encode()).decode(),
        json.dumps(json.dumps({"key": KEY})),
        "".join(f"\\u{ord(char):04x}" for char in KEY),
    ],
)
def test_a_known_secret_is_cut_in_every_form(cutting: Redactor, spelt: str) -> None:
    """As it is, URL-encoded, in base64 at every alignment, escaped in JSON within JSON."""
    value = {"a": [f"<{spelt}>"], f"<{spelt}>": 1}
    assert cutting.concerns(value)
    clean = cutting.json(value)
    assert spelt not in str(clean)
    assert count_redactions(clean) == {"a[0]": 1}
    assert REDACTED in next(name for name in clean if name != "a")


@given(st.text(min_size=8, max_size=40), st.data())
def test_a_secret_spread_over_events_is_cut(secret: str, data: st.DataObject) -> None:
    """Wherever a stream is cut into pieces, what comes before and after the secret stays, in its order."""
    whole = f"«{secret}»"
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    events: list[Any] = []
    for piece in pieces:
        events += [{"choices": [{"index": 0, "delta": {"text": piece}}]}, {"choices": [{"index": 1, "delta": {}}]}]
    known = Secrets([Secret(secret)])
    clean = Redactor(known, NO_LOOKS).events(events)
    said = "".join(event["choices"][0]["delta"].get("text", "") for event in clean)
    assert said == (f"«{REDACTED}»" if len(known) else whole)


def test_pieces_of_two_answers_in_one_stream_are_put_together_apart(cutting: Redactor) -> None:
    """The pieces of a second answer between those of a secret do not hide it."""
    events = [{"index": i, "text": text} for i, text in [(0, KEY[:5]), (1, "hello"), (0, KEY[5:]), (1, " you")]]
    assert [event["text"] for event in cutting.events(events)] == [REDACTED, "hello", "", " you"]


@pytest.mark.parametrize(
    "text",
    [
        "the bearer responsibilities of a flag",
        "sk-circle-fade-dot-animation",
        "sk-learn-compatible-estimators",
        "sk-learn-RandomForestClassifier",
        "task-0123456789abcdef0123",
        "org-telecommunications",
        "https://example.test/search?key=responsibilities",
        "set access_token=placeholder",
        "a token of gratitude, the secret ingredient",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    """What looks like a key is long, and has digits, or capitals where no word has any."""
    assert LOOKING.text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("sk-proj-abcdefghijklmnop1234", REDACTED),
        ("sk-ant-api03-aBcDeFgHiJkLmNoPqRsTuVwXyZ", REDACTED),
        ("AIza" + "a1B2" * 9, REDACTED),
        ("gsk_abcdefghijklmnop1234", REDACTED),
        ("hf_abcdefghijklmnopQRSTuvwx", REDACTED),
        ("AKIAABCDEFGHIJKLMNOP", REDACTED),
        ("github_pat_11ABCDEFG0123456789abc", REDACTED),
        ("Authorization: Bearer abcdef0123456789abcd", f"Authorization: Bearer {REDACTED}"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", REDACTED),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", REDACTED),
        ("postgres://user:hunter2@db/x", f"postgres://user:{REDACTED}@db/x"),
        ("GET /v1beta/models?key=abcDEF0123456789", f"GET /v1beta/models?key={REDACTED}"),
        ('data: {"access_token": "an-opaque-value"}', f'data: {{"access_token": "{REDACTED}"}}'),
        (r"{\"SessionToken\": \"an/opaque+value\"}", rf"{{\"SessionToken\": \"{REDACTED}\"}}"),
        ("<SecretAccessKey>an/opaque+value</SecretAccessKey>", f"<SecretAccessKey>{REDACTED}</SecretAccessKey>"),
        ('<a:IdToken b="c">an/opaque+value</a:IdToken>', f'<a:IdToken b="c">{REDACTED}</a:IdToken>'),
        ("<IdToken><![CDATA[an/opaque+value]]></IdToken>", f"<IdToken><![CDATA[{REDACTED}]]></IdToken>"),
        ("a=b&refresh_token=0paqueValue99&c=d", f"a=b&refresh_token={REDACTED}&c=d"),
        ('data: {"access_token": 12345678}', f'data: {{"access_token": {REDACTED}}}'),
        (
            '{"client_secret": {"value": "an-opaque-value", "expires_at": 1}}',
            f'{{"client_secret": {{"value": "{REDACTED}", "expires_at": 1}}}}',
        ),
        ('{"AccessKeyId": "an-opaque-value"}', f'{{"AccessKeyId": "{REDACTED}"}}'),
    ],
)
def test_what_looks_like_a_secret_is_cut(text: str, left: str) -> None:
    """Keys of well-known providers, tokens, and whatever stands in the field of a token."""
    assert LOOKING.text(f"({text})") == f"({left})"


@pytest.mark.parametrize(
    "name", ["client_secret", "access_token", "refreshToken", "IdToken", "SecretAccessKey", "AccessKeyId"]
)
def test_fields_of_tokens_are_cut_whatever_stands_in_them(name: str) -> None:
    """By the field's name, in any spelling; what describes such a field is left."""
    assert LOOKING.json({"a": [{name: "word"}]}) == {"a": [{name: REDACTED}]}
    assert LOOKING.json({name: ["word", 1]}) == {name: [REDACTED, 1]}
    described = {"properties": {name: {"type": "string"}}, "required": [name]}
    assert LOOKING.json(described) == described


@pytest.mark.parametrize("name", ["client_secret", "accessToken", "token", "AccessKeyId"])
def test_a_token_that_is_a_thing_of_its_own_is_cut(name: str) -> None:
    """`{"value": …}`, in lists too; how long it lasts is left."""
    token = {"value": "word", "expires_at": 1_700_000_000}
    clean = {"value": REDACTED, "expires_at": 1_700_000_000}
    assert LOOKING.concerns({name: token})
    assert LOOKING.json({"a": {name: token}}) == {"a": {name: clean}}
    assert LOOKING.json({name: {"value": 12_345_678}}) == {name: {"value": REDACTED}}
    assert name == "token" or LOOKING.json({name: [{"raw": "word"}]}) == {name: [{"raw": REDACTED}]}


def test_a_number_in_the_field_of_a_token_is_cut() -> None:
    """Numbers are tokens too where they are as long as one; a count, a flag or nothing is none."""
    assert LOOKING.json({"access_token": 12_345_678, "id_token": [12_345_678]}) == {
        "access_token": REDACTED,
        "id_token": [REDACTED],
    }
    left = {"session_token": None, "id_token": 0, "access_token": True, "refresh_token": 3, "max_tokens": 12_345_678}
    assert LOOKING.json(left) == left


@pytest.mark.parametrize(
    "said",
    [
        {"token": "Hello", "logprob": -0.5, "bytes": [72]},
        {"token": {"id": 123_456, "text": "hello", "logprob": -0.5, "special": False}},
        {"access_token": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Token"}},
        {"access_token": {"type": ["string", "null"], "description": "the token"}},
    ],
)
def test_pieces_of_texts_and_what_describes_a_token_are_left_alone(said: Any) -> None:
    """A token is also what a model says; and a schema says what a field is, not what stands in it."""
    assert LOOKING.json(said) == said


def test_a_shortened_error_does_not_show_the_beginning_of_a_key() -> None:
    """Errors quote what came, and shorten it where that cuts a key in two."""
    errors = error_redactor(Secrets([Secret("correct-horse-battery-staple")]))
    assert errors.text("a map was wanted, but ['correct-horse-bat… came") == f"a map was wanted, but ['{REDACTED}… came"


def test_short_values_are_no_secrets() -> None:
    """The dummy keys of offline suites are not cut out of ordinary words."""
    secrets = Secrets([Secret("test"), Secret("offline")])
    secrets.add(None)
    assert not len(secrets)


def test_secrets_are_known_by_their_place() -> None:
    """Fields, headers, lists of pairs and addresses; never what is asked, nor what a mock is to answer."""
    args = {
        "lm": {"api_key": "key-in-map", "api_base": "https://user:key-in-user@host/v1?key=key-in-query&alt=sse"},
        "options": [["api_key", "key-in-pairs"], {"name": "Authorization", "value": "Bearer key-in-header"}],
        "extra_headers": {
            "X-Api-Key": "key-in-headers",
            "token": {"value": "key-in-value", "expires_at": 1_700_000_000},
        },
        "password": 12_345_678,
        "secret": 10**5000,
        "inputs": {"api_key": "asked", "question": "https://user:asked@host"},
        "mock": {"responses": {"default": {"access_token": "answered"}}},
        "params": {"max_tokens": 12, "stop": "a token"},
    }
    wanted = {"map", "user", "query", "pairs", "header", "headers", "value"}
    assert set(secrets_by_place(args)) == {"12345678", *(f"key-in-{place}" for place in wanted)}


def test_addresses_are_shown_without_credentials() -> None:
    """Who asks is cut, where and what is kept."""
    address = "https://user:p%40ss-word@host:8080/v1?api-version=1&key=abcdefgh"
    assert set(credentials_of(address)) == {"p%40ss-word", "p@ss-word", "abcdefgh"}
    assert without_credentials(address) == "https://host:8080/v1?api-version=1"
    assert without_credentials("https://host/v1?a=b%20c") == "https://host/v1?a=b%20c"


def test_variables_that_hold_secrets_are_known_by_their_names() -> None:
    """By the end of the name; what has no value of a key's length is none."""
    environ = {"ACME_API_KEY": "abcdefgh", "GH_TOKEN": "ijklmnop", "HOME": "/home/somebody"}
    assert {secret.value for secret in secrets_of_environment(environ)} == {"abcdefgh", "ijklmnop"}


def test_a_secret_is_in_no_repr() -> None:
    """Objects that hold secrets may be printed."""
    secret = Secret("correct-horse-battery")
    shown = repr((secret, Secrets([secret]), Redactor(Secrets([secret]))))
    assert "correct-horse" not in shown


def test_the_first_formats_rules_can_still_be_applied() -> None:
    """They took words for keys, and cut the word bearer with them."""
    old = LOOKING.with_looks(LOOKS_OF_FORMAT_1)
    assert old.text("the bearer responsibilities of") == f"the {REDACTED} of"
    assert old.json({"access_token": "an-opaque-value"}) == {"access_token": "an-opaque-value"}


@pytest.mark.parametrize("text", ["k" * 300_000, "k" * 150_000 + "!", "!" + "k" * 150_000])
def test_a_key_and_a_text_of_one_letter_are_compared_once(text: str) -> None:
    """Not once for each place, which would take the square of their length: hours, and the test's time runs out."""
    redactor = error_redactor(Secrets([Secret("k" * 200_000)]))

    assert redactor.text(text).strip("!") == REDACTED


def test_a_key_is_cut_whole_where_its_own_beginning_runs_into_it() -> None:
    """Also where errors are searched for beginnings."""
    redactor = error_redactor(Secrets([Secret("1111111122")]))

    assert redactor.text("of 11111111111122.") == f"of {REDACTED}."


@given(st.lists(st.text("ab1", min_size=8, max_size=14), min_size=40, max_size=60), st.data())
def test_many_keys_are_found_where_each_alone_is_found(keys: list[str], data: st.DataObject) -> None:
    """Where every client has a key of its own, they are looked for together; what is found is the same."""
    pieces = st.one_of(st.sampled_from(keys), st.text("ab1", max_size=9), st.sampled_from(["a" * 90, "ab" * 90]))
    text = "".join(data.draw(st.lists(pieces, max_size=12)))
    others = [Secret(f"{number:x}-of-others-{number}") for number in range(70)]

    together = {
        (*span, form.text) for *span, form in Secrets([*map(Secret, keys), *others]).find(text, beginnings=True)
    }
    alone = {(*span, form.text) for key in keys for *span, form in Secrets([Secret(key)]).find(text, beginnings=True)}

    assert together == alone
