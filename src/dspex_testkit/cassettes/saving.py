"""The one way in which recordings get into files."""

from pathlib import Path

from dspex_testkit.cassettes import index_cache, yaml_text
from dspex_testkit.cassettes.document import Document, document_from, parse_record
from dspex_testkit.cassettes.files import refuse_read_only, write_atomically
from dspex_testkit.cassettes.leaks import refuse_secrets
from dspex_testkit.redaction import Secrets


def save(path: Path, document: Document, *, secrets: Secrets) -> None:
    """Write a document, after looking for secrets and after reading back what would be written.

    Raises:
        CassetteReadOnlyError: It may not be written there.
        SecretFoundError: A known secret stands in it.
    """
    refuse_read_only(path)
    record = document.to_record()
    text = yaml_text.dump(record)
    content = text.encode()
    parsed = parse_record(content, path)
    document_from(parsed, path)
    refuse_secrets(parsed, text, secrets, path=path)
    write_atomically(path, content)
    index_cache.remember(content, parsed)


def save_traffic(path: Path, text: str, *, secrets: Secrets) -> None:
    """Write a cassette of HTTP traffic, after looking for secrets.

    Raises:
        CassetteReadOnlyError: It may not be written there.
        SecretFoundError: A known secret stands in it.
    """
    refuse_read_only(path)
    refuse_secrets(parse_record(text.encode(), path), text, secrets, path=path)
    write_atomically(path, text.encode())
