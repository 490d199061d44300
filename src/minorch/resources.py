"""Amounts: how much a task asks for and how much a node has.

:class:`Resources` is the only type that counts cores and bytes; everything else adds, subtracts
and compares it.  CPU is held in thousandths of a core and sizes in bytes, as integers, so that
reserving and releasing never drifts.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Final

from minorch.errors import SpecError, brief, did_you_mean

__all__ = ["Resources", "format_size", "parse_cpu", "parse_size"]

_UNITS: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    **{f"{p}{s}": 1000**n for n, p in enumerate("kmgtp", 1) for s in ("", "b")},
    **{f"{p}i{s}": 1024**n for n, p in enumerate("kmgtp", 1) for s in ("", "b")},
}
_UNIT_NAMES: Final = ("B", "kB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE: Final = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})\s*([a-zA-Z]*)\s*\Z")
_CPU: Final = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})\s*(m?)\s*\Z")
_NAME: Final = re.compile(r"[a-z][a-z0-9_.\-/]{0,62}\Z")
_BUILT_IN: Final = ("cpu", "memory", "disk")
_ALIASES: Final[Mapping[str, str]] = {"mem": "memory", "ram": "memory", "cores": "cpu", "storage": "disk"}
_MOST: Final = 2**60
_MOST_CUSTOM: Final = 64
_THOUSAND: Final = 1000


def parse_size(value: int | float | str, path: str = "$") -> int:
    """Return *value* in bytes: a number of bytes, or text such as ``"512MiB"``, ``"2GB"``, ``"1.5Gi"``.

    Powers of 1024 are written ``KiB``/``Ki``, powers of 1000 ``kB``/``k``; case does not matter.

    Raises:
        SpecError: it is negative, not finite, or not a size.
    """
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match is None:
            hint = "; a size cannot be negative" if value.lstrip().startswith("-") else ""
            raise SpecError(f'"{value[:40]}" is not a size{hint}; write bytes or e.g. "512MiB"', path)
        number, unit = match.groups()
        factor = _UNITS.get(unit.lower())
        if factor is None:
            hint = did_you_mean(unit, _UNIT_NAMES)
            raise SpecError(f'"{value[:40]}" is not a size{hint or "; write bytes or e.g. 512MiB"}', path)
        amount = float(number) * factor if "." in number else int(number) * factor
    else:
        amount = _number(value, "a size", path)
    if amount > _MOST:
        raise SpecError(f"{brief(value)} is more than 2**60 bytes", path)
    return math.ceil(amount)


def parse_cpu(value: int | float | str, path: str = "$") -> int:
    """Return *value* in thousandths of a core: a number of cores, or text such as ``"500m"`` or ``"1.5"``.

    Raises:
        SpecError: it is negative, not finite, or not an amount of CPU.
    """
    if isinstance(value, str):
        match = _CPU.match(value)
        if match is None:
            hint = "; it cannot be negative" if value.lstrip().startswith("-") else ""
            raise SpecError(
                f'"{value[:40]}" is not an amount of cpu{hint}; write cores, e.g. 0.5 or "500m"', path
            )
        number, milli = match.groups()
        cores = float(number) / _THOUSAND if milli else float(number)
    else:
        cores = _number(value, "an amount of cpu", path)
    if cores > 1e9:
        raise SpecError(f"{brief(value)} is more than 10**9 cores", path)
    return _thousandths(cores)


def _number(value: object, what: str, path: str) -> int | float:
    if not isinstance(value, int | float) and isinstance(value, Real):  # one of numpy's
        value = int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecError(f"{brief(value)} is not {what}", path)
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"{value!r} is not {what}", path)
    if value < 0:
        raise SpecError(f"{brief(value)} is not {what}; it cannot be negative", path)
    return value


def _thousandths(amount: int | float) -> int:
    """Round up, except where only the floating point made it more: 0.1 + 0.2 is 300, and 1/3 is 334."""
    exact = amount * _THOUSAND
    nearest = round(exact)
    drifted = nearest != 0 and math.isclose(exact, nearest, rel_tol=1e-15, abs_tol=1e-6)
    return nearest if drifted else math.ceil(exact)


def format_size(size: int) -> str:
    """Return *size* bytes as short text: ``"512.0 MiB"``."""
    amount = float(abs(size))
    units = ["PiB", "TiB", "GiB", "MiB", "KiB", "B"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop()
    sign, unit = "-" if size < 0 else "", units[-1]
    return f"{sign}{amount:.0f} B" if unit == "B" else f"{sign}{amount:.1f} {unit}"


class Resources:
    """An amount of CPU, memory, disk and of any resource you name yourself. Immutable.

    Args:
        cpu: cores, as a number (``0.5``) or text (``"500m"``).
        memory: bytes, as a number or text (``"512MiB"``, ``"2GB"``, ``"1.5Gi"``).
        disk: bytes, in the same forms.
        custom: whole or fractional amounts of resources that your nodes offer, e.g. ``gpu=2``.

    Raises:
        SpecError: an amount is negative, not finite, or cannot be read.

    >>> Resources(cpu="500m", memory="1GiB", gpu=1) + Resources(cpu=1)
    Resources(cpu=1.5, memory='1.0 GiB', gpu=1)
    """

    __slots__ = ("cpu_millis", "custom_millis", "disk", "memory")

    cpu_millis: int
    """CPU in thousandths of a core."""
    memory: int
    """Memory in bytes."""
    disk: int
    """Disk in bytes."""
    custom_millis: Mapping[str, int]
    """Custom resources in thousandths of a unit; only those that are not zero."""

    def __init__(
        self,
        /,
        *,
        cpu: float | str = 0,
        memory: int | float | str = 0,
        disk: int | float | str = 0,
        **custom: float,
    ) -> None:
        set_ = object.__setattr__
        set_(self, "cpu_millis", parse_cpu(cpu, "$.cpu"))
        set_(self, "memory", parse_size(memory, "$.memory"))
        set_(self, "disk", parse_size(disk, "$.disk"))
        if len(custom) > _MOST_CUSTOM:
            raise SpecError(f"at most {_MOST_CUSTOM} resources of your own, got {len(custom):,}")
        amounts: dict[str, int] = {}
        for name in sorted(custom):
            if not _NAME.match(name):
                hint = '; use lower-case letters, digits, "_", ".", "-" or "/", a letter first'
                raise SpecError(f'"{name[:70]}" is not a resource name{hint}', f"$.{name[:70]}")
            meant = did_you_mean(_ALIASES.get(name, name), _BUILT_IN, likeness=0.75)
            if meant:  # a gpu is a resource of its own, "memroy" and "cpus" are slips
                raise SpecError(f'no resource is called "{name}"{meant}', f"$.{name}")
            amount = _number(custom[name], "an amount", f"$.{name}")
            if amount > _MOST:
                raise SpecError(f"{brief(amount)} is too much", f"$.{name}")
            if amount:
                amounts[name] = _thousandths(amount)
        set_(self, "custom_millis", amounts)

    @classmethod
    def of(cls, cpu_millis: int, memory: int, disk: int, custom_millis: Mapping[str, int]) -> Resources:
        """Return an amount from the integers that it is held in, unchecked (it may be negative)."""
        self = _new(cls)
        _set_cpu_millis(self, cpu_millis)
        _set_memory(self, memory)
        _set_disk(self, disk)
        _set_custom_millis(self, custom_millis)
        return self

    @property
    def cpu(self) -> float:
        """CPU in cores."""
        return self.cpu_millis / _THOUSAND

    @property
    def custom(self) -> Mapping[str, float]:
        """Custom resources by name, in units."""
        return {name: amount / _THOUSAND for name, amount in self.custom_millis.items()}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Resources cannot be changed; make a new one ({name})")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Resources cannot be changed; make a new one ({name})")

    def __add__(self, other: Resources) -> Resources:
        mine, theirs = self.custom_millis, other.custom_millis
        custom = mine if not theirs else _merge(mine, theirs, 1)
        return Resources.of(
            self.cpu_millis + other.cpu_millis, self.memory + other.memory, self.disk + other.disk, custom
        )

    def __sub__(self, other: Resources) -> Resources:
        mine, theirs = self.custom_millis, other.custom_millis
        custom = mine if not theirs else _merge(mine, theirs, -1)
        return Resources.of(
            self.cpu_millis - other.cpu_millis, self.memory - other.memory, self.disk - other.disk, custom
        )

    def fits(self, room: Resources) -> bool:
        """Whether this amount is at most *room* in every dimension; ``task.resources.fits(node.free)``."""
        if self.cpu_millis > room.cpu_millis or self.memory > room.memory or self.disk > room.disk:
            return False
        if not self.custom_millis:
            return True
        have = room.custom_millis
        return all(amount <= have.get(name, 0) for name, amount in self.custom_millis.items())

    def shortfall(self, room: Resources) -> Resources:
        """What *room* lacks to hold this amount; zero in every dimension that is enough."""
        lacking = {
            name: amount - room.custom_millis.get(name, 0)
            for name, amount in self.custom_millis.items()
            if amount > room.custom_millis.get(name, 0)
        }
        return Resources.of(
            max(0, self.cpu_millis - room.cpu_millis),
            max(0, self.memory - room.memory),
            max(0, self.disk - room.disk),
            lacking,
        )

    def share(self, parts: int) -> Resources:
        """An equal share of this amount among *parts*, rounded down."""
        custom = {name: amount // parts for name, amount in self.custom_millis.items()}
        return Resources.of(
            self.cpu_millis // parts,
            self.memory // parts,
            self.disk // parts,
            {name: amount for name, amount in custom.items() if amount},
        )

    def amounts(self) -> Iterator[tuple[str, int]]:
        """Every dimension and its integer amount: ``cpu`` in thousandths, sizes in bytes."""
        yield "cpu", self.cpu_millis
        yield "memory", self.memory
        yield "disk", self.disk
        yield from self.custom_millis.items()

    def __bool__(self) -> bool:
        return bool(self.cpu_millis or self.memory or self.disk or self.custom_millis)

    def _key(self) -> tuple[int, int, int, tuple[tuple[str, int], ...]]:
        return (self.cpu_millis, self.memory, self.disk, tuple(sorted(self.custom_millis.items())))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resources):
            return NotImplemented
        return (
            self.cpu_millis == other.cpu_millis
            and self.memory == other.memory
            and self.disk == other.disk
            and self.custom_millis == other.custom_millis
        )

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[object, ...]:
        return (Resources.of, (self.cpu_millis, self.memory, self.disk, dict(self.custom_millis)))

    def to_dict(self) -> dict[str, int | float]:
        """Return plain data that :meth:`from_dict` reads: cores and bytes, without the zeros."""
        plain: dict[str, int | float] = {}
        if self.cpu_millis:
            plain["cpu"] = _short(self.cpu_millis)
        if self.memory:
            plain["memory"] = self.memory
        if self.disk:
            plain["disk"] = self.disk
        plain.update((name, _short(amount)) for name, amount in self.custom_millis.items())
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, int | float | str], path: str = "$") -> Resources:
        """Read what :meth:`to_dict` gives, or what a person wrote in its place.

        Raises:
            SpecError: with the path of the faulty amount, below *path*.
        """
        if not isinstance(data, Mapping):
            raise SpecError(f"expected an object of amounts, got {type(data).__name__}", path)
        for name in data:
            if not isinstance(name, str):
                raise SpecError(f"{brief(name)} is not a resource name", path)
        try:
            return cls(**dict(data))  # type: ignore[arg-type]
        except SpecError as error:
            raise error.below(path) from None

    def __repr__(self) -> str:
        words = [
            f"{name}={value!r}" if _is_keyword_argument(name) else f"**{{{name!r}: {value!r}}}"
            for name, value in self._shown()
        ]
        return f"Resources({', '.join(words)})"

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._shown()) or "nothing"

    def _shown(self) -> Iterator[tuple[str, int | float | str]]:
        if self.cpu_millis:
            yield "cpu", _short(self.cpu_millis)
        if self.memory:
            yield "memory", format_size(self.memory)
        if self.disk:
            yield "disk", format_size(self.disk)
        for name, amount in self.custom_millis.items():
            yield name, _short(amount)


_new: Final = object.__new__
# These are called for every placement, and twice as quick as object.__setattr__.
_set_cpu_millis, _set_memory, _set_disk, _set_custom_millis = (
    vars(Resources)[name].__set__ for name in ("cpu_millis", "memory", "disk", "custom_millis")
)


def _is_keyword_argument(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _short(millis: int) -> int | float:
    return millis // _THOUSAND if millis % _THOUSAND == 0 else millis / _THOUSAND


def _merge(mine: Mapping[str, int], theirs: Mapping[str, int], sign: int) -> Mapping[str, int]:
    custom = dict(mine)
    for name, amount in theirs.items():
        total = custom.get(name, 0) + sign * amount
        if total:
            custom[name] = total
        else:
            custom.pop(name, None)
    return custom
