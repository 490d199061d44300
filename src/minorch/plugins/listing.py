"""What a registry holds, as records and as a table to read."""

from __future__ import annotations

from typing import Literal

import msgspec

from minorch.markup import badge, table, view

__all__ = ["PluginInfo", "PluginKind", "PluginList"]

PluginKind = Literal["scheduler", "filter", "runtime", "fleet", "store", "observer", "broken"]


class PluginInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a plugin offers, or one that could not be loaded."""

    kind: PluginKind
    name: str
    """What it is chosen by; for an observer or a broken one, the plugin's name."""
    summary: str
    """What it does; for a broken one, why it was skipped."""
    provider: str
    """The name of the plugin that offers it."""
    origin: str
    """Where that comes from: ``built in``, ``entry point of my-dist 1.0``, ``registered from __main__``."""


class PluginList(tuple[PluginInfo, ...]):
    """What a registry holds; ``str()`` and ``repr()`` give a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "no plugins"
        rows = [("KIND", "NAME", "SUMMARY", "PROVIDER", "FROM")]
        rows += [(info.kind, info.name, info.summary, info.provider, info.origin) for info in self]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [
            (
                badge(info.kind) if info.kind == "broken" else info.kind,
                info.name,
                info.summary,
                info.provider,
                info.origin,
            )
            for info in self
        ]
        count = f"{len(self):,} plugin{'' if len(self) == 1 else 's'}"
        heading = ["kind", "name", "summary", "provider", "from"]
        return view(count, table(heading, rows, whole=[0, 1], noun="plugins"))
