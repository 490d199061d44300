"""Plugins that installed packages name in the entry-point group ``minorch``; to list them imports none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from minorch.plugins.inspection import Provider, look_over

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINT_GROUP", "InstalledPlugin", "installed_plugins"]

ENTRY_POINT_GROUP: Final = "minorch"


class InstalledPlugin(NamedTuple):
    """One entry point."""

    name: str
    origin: str
    point: EntryPoint

    @property
    def value(self) -> str:
        """The module, or the object in it."""
        return self.point.value

    def look_over(self) -> Provider:
        """Import the plugin and see what it offers.

        Raises:
            PluginError: it is not well formed.
            Exception: whatever its import raises.
        """
        return look_over(self.point.load(), self.name, self.origin)


def installed_plugins() -> list[InstalledPlugin]:
    """Every entry point of the group, by name."""
    from importlib import metadata

    return sorted(
        (
            InstalledPlugin(point.name, f"entry point of {_distribution_of(point)}", point)
            for point in metadata.entry_points(group=ENTRY_POINT_GROUP)
        ),
        key=lambda found: found[:2],
    )


def _distribution_of(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
