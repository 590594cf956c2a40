"""The Python types of a signature's fields, and pydantic's validators for them; made when first needed."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from dspex_testkit.bridge.signatures.fields import FieldSpec

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class FieldTypes:
    """Types by attribute.

    DSPy and the validators get the very same classes for objects, so that a value which one made is one for the other.
    """

    def __init__(self, fields: Sequence[FieldSpec]) -> None:
        self._fields = {field.attribute: field for field in fields}
        self._lock = threading.Lock()
        self._declared: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._adapters: dict[str, TypeAdapter[Any]] = {}

    def declared(self, attribute: str) -> tuple[Any, dict[str, Any]]:
        """The annotation of a field, and its constraints as pydantic's `Field` takes them."""
        # pydantic and what it brings along are not needed for signatures of plain texts.
        from dspex_testkit.bridge.signatures.annotations import annotate_field

        with self._lock:
            if attribute not in self._declared:
                field = self._fields[attribute]
                self._declared[attribute] = annotate_field(field.type, attribute) if field.typed else (str, {})
            return self._declared[attribute]

    def adapter(self, attribute: str) -> "TypeAdapter[Any]":
        """The validator of a field."""
        adapter = self._adapters.get(attribute)
        if adapter is None:
            from pydantic import TypeAdapter

            from dspex_testkit.bridge.signatures.annotations import metadata_of

            annotation, limits = self.declared(attribute)
            if limits:
                annotation = Annotated[(annotation, *metadata_of(limits))]
            adapter = self._adapters[attribute] = TypeAdapter(annotation)
        return adapter
