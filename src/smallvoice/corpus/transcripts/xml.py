"""XML transcripts, read without trust: no entity is declared, nothing outside the file is loaded, nesting is bounded.

Unlike ElementTree's, an element knows its line, and text and elements keep their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from smallvoice.corpus.transcripts.document import Unreadable, read_bytes

MAX_DEPTH = 200
"""Elements inside elements; real transcripts have ten."""


@dataclass(slots=True)
class Text:
    """A piece of text, at most one line long."""

    text: str
    line: int


@dataclass(slots=True)
class Element:
    tag: str
    """Without namespace."""
    attributes: dict[str, str]
    """Names without namespace."""
    line: int
    parts: list[Element | Text] = field(default_factory=list)
    """What stands in it, in order."""

    def get(self, name: str) -> str:
        """An attribute without surrounding white space; empty where there is none."""
        return self.attributes.get(name, "").strip()

    def children(self, tag: str | None = None) -> Iterator[Element]:
        """The elements directly in it, of one name or all."""
        return (part for part in self.parts if isinstance(part, Element) and tag in (None, part.tag))

    def flat(self) -> Iterator[Element | Text]:
        """Everything in it at any depth, in the order of the file; an element comes before what stands in it."""
        for part in self.parts:
            yield part
            if isinstance(part, Element):
                yield from part.flat()

    def elements(self, tag: str) -> Iterator[Element]:
        """The elements of one name in it, at any depth."""
        return (part for part in self.flat() if isinstance(part, Element) and part.tag == tag)

    @property
    def text(self) -> str:
        """All text in it, white space collapsed."""
        return " ".join("".join(part.text for part in self.flat() if isinstance(part, Text)).split())


def read_xml(path: Path, where: str, *, root: str, doctype: bool = False) -> Element:
    """The root element of a file.

    Args:
        root: its name.
        doctype: a `<!DOCTYPE>` may name an external definition, which is not loaded; it may never hold one.

    Raises:
        Unreadable: as `read_bytes`; not well-formed XML, too deeply nested, of another root, or with declarations
            that could load or multiply something.
    """
    builder = _Builder(where)
    parser = _Parser(builder, doctype)
    builder.position = parser.parser
    try:
        parser.feed(read_bytes(path, where))
        parser.close()
    except ParseError as error:
        line, column = error.position
        raise Unreadable(f"{where}:{line}", "damaged XML", f"{str(error).split(':')[0]}, column {column}") from None
    except DefusedXmlException as error:
        raise Unreadable(where, "forbidden XML", f"{_WHAT.get(type(error).__name__, 'a declaration')} in it") from None
    except (ValueError, LookupError) as error:
        raise Unreadable(where, "damaged XML", str(error)) from None
    found = builder.root
    if found is None or found.tag != root:
        raise Unreadable(where, "another kind of XML", f"expected {root}, found {found.tag if found else 'nothing'}")
    return found


_WHAT = {
    "DTDForbidden": "a document type definition",
    "EntitiesForbidden": "an entity declaration",
    "ExternalReferenceForbidden": "a reference to another file",
}


class _Parser(DefusedXMLParser):
    parser: Any
    """The expat parser."""

    def __init__(self, builder: _Builder, doctype: bool) -> None:
        super().__init__(target=builder, forbid_dtd=True)
        self.allows_doctype = doctype
        # Text comes line by line, so that each piece has its own line number.
        self.parser.buffer_text = False

    def defused_start_doctype_decl(
        self, name: str, sysid: str | None, pubid: str | None, has_internal_subset: bool
    ) -> None:
        if has_internal_subset or not self.allows_doctype:
            super().defused_start_doctype_decl(name, sysid, pubid, has_internal_subset)


class _Builder:
    """What the parser reports, as elements."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.root: Element | None = None
        self.open: list[Element] = []
        self.position: Any = None
        """What knows the current line: the parser."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self.position.CurrentLineNumber
        if len(self.open) >= MAX_DEPTH:
            raise Unreadable(f"{self.where}:{line}", "forbidden XML", f"more than {MAX_DEPTH} elements in each other")
        element = Element(_local(tag), {_local(name): value for name, value in attributes.items()}, line)
        if self.open:
            self.open[-1].parts.append(element)
        else:
            self.root = element
        self.open.append(element)

    def end(self, tag: str) -> None:
        self.open.pop()

    def data(self, text: str) -> None:
        if self.open:
            self.open[-1].parts.append(Text(text, self.position.CurrentLineNumber))

    def close(self) -> Element | None:
        return self.root


def _local(name: str) -> str:
    return name.rpartition("}")[2]
