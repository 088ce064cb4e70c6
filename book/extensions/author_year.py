"""Sphinx extension: the bibliography is labelled as the text cites, (Cho *et al.*, 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


def authors(entry: Entry) -> str:
    """The last names: one, two, or the first *et al.*"""
    names = [" ".join((*p.prelast_names, *p.last_names)) for p in entry.persons["author"]]
    if len(names) > 2:
        return f"{names[0]} et al."
    return " and ".join(names)


class AuthorYearLabels(BaseLabelStyle):
    """Labels such as "Cho et al., 2014"; equal ones get a letter."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        entries = list(sorted_entries)
        plain = [f"{authors(entry)}, {entry.fields['year']}" for entry in entries]
        for index, label in enumerate(plain):
            letter = chr(ord("a") + plain[:index].count(label)) if plain.count(label) > 1 else ""
            yield label + letter


class AuthorYearStyle(Style):
    """Entries sorted by author and year under such labels."""

    default_label_style = AuthorYearLabels
    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the style known under the name ``author_year``."""
    register_plugin("pybtex.style.formatting", "author_year", AuthorYearStyle)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
