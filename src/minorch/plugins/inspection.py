"""Looking a plugin over before it is registered: what it offers, or in words what is wrong with it.

Also what a factory takes and makes.  Nothing is kept here: the registry is in
:mod:`minorch.plugins.registry`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import msgspec
import pluggy
from typing_extensions import get_protocol_members

from minorch.errors import MinorchError, PluginError, SpecError, UsageError, did_you_mean
from minorch.ids import check_name
from minorch.plugins import hookspecs
from minorch.plugins.hookspecs import FilterPlugin, FleetPlugin, RuntimePlugin, SchedulerPlugin, StorePlugin

__all__ = [
    "Kind",
    "Provider",
    "Record",
    "check_options",
    "first_line",
    "in_words",
    "lacking",
    "listed",
    "look_over",
    "module_of",
    "name_of",
    "new_manager",
    "summary_of",
]

Kind = Literal["scheduler", "filter", "runtime", "fleet", "store"]
"""What a plugin can offer to choose from."""
Record = SchedulerPlugin | FilterPlugin | RuntimePlugin | FleetPlugin | StorePlugin

_FACTORIES: Final[Mapping[str, tuple[Kind, type[Record]]]] = {
    "minorch_schedulers": ("scheduler", SchedulerPlugin),
    "minorch_filters": ("filter", FilterPlugin),
    "minorch_runtimes": ("runtime", RuntimePlugin),
    "minorch_fleets": ("fleet", FleetPlugin),
    "minorch_stores": ("store", StorePlugin),
}
_OBSERVER: Final = "minorch_on_event"
_HOOKS: Final = (*_FACTORIES, _OBSERVER)


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin and what it offers."""

    name: str
    origin: str
    plugin: object
    offers: Mapping[tuple[Kind, str], Record]
    observes: bool

    def __str__(self) -> str:
        return f'"{self.name}" ({self.origin})'


def new_manager() -> pluggy.PluginManager:
    """A manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager("minorch")
    manager.add_hookspecs(hookspecs)
    return manager


def look_over(plugin: object, name: str, origin: str) -> Provider:
    """Try the plugin on a manager of its own, so that a faulty one never gets into the real one.

    Raises:
        PluginError: it is not well formed.
    """
    who = f'plugin "{name}" ({origin})'
    if isinstance(plugin, type):
        raise PluginError(f"{who} is a class; register an object: {plugin.__name__}()")
    trial = new_manager()
    try:
        trial.register(plugin, name)
        trial.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{who}: {_what_is_invalid(trial, plugin, error)}") from None
    hooks = {name: getattr(trial.hook, name).get_hookimpls() for name in _HOOKS}
    for hook, implementations in hooks.items():
        if not implementations and callable(getattr(plugin, hook, None)):
            raise PluginError(f"{who}: {hook}() is not marked with @minorch.hookimpl")
        for implementation in implementations:
            _refuse_odd_functions(f"{who}: {hook}()", implementation)
    if not any(hooks.values()):
        raise PluginError(f"{who} implements no hook; the hooks are {', '.join(_HOOKS)}")
    offers: dict[tuple[Kind, str], Record] = {}
    for hook, (kind, record_type) in _FACTORIES.items():
        for implementation in hooks[hook]:
            for record in _call_factory_hook(f"{who}: {hook}()", implementation.function, record_type):
                if (kind, record.name) in offers:
                    raise PluginError(f'{who} offers two {kind}s called "{record.name}"')
                offers[kind, record.name] = record
    return Provider(name=name, origin=origin, plugin=plugin, offers=offers, observes=bool(hooks[_OBSERVER]))


def _what_is_invalid(trial: pluggy.PluginManager, plugin: object, error: pluggy.PluginValidationError) -> str:
    for caller in trial.get_hookcallers(plugin) or []:
        if not caller.has_spec():
            hint = did_you_mean(caller.name, _HOOKS) or "."
            return f'there is no hook "{caller.name}"{hint} The hooks are {", ".join(_HOOKS)}'
    return " ".join(str(error).split())


def _refuse_odd_functions(where: str, implementation: pluggy.HookImpl) -> None:
    function = implementation.function
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginError(f"{where} is a wrapper; the hooks of minorch are not wrapped")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{where} is async; nobody would await it, make it a plain function")


def _call_factory_hook(
    where: str, function: Callable[..., object], record_type: type[Record]
) -> list[Record]:
    try:
        result = function()
        items = list(result) if isinstance(result, Iterable) else None
    except Exception as error:
        raise PluginError(f"{where} raised {in_words(error)}"[:2000]) from error
    if items is None:
        gave = "nothing" if result is None else f"a {type(result).__name__}"
        raise PluginError(f"{where} gave {gave}, not several {record_type.__name__} records; yield them")
    return [_check_record(where, item, record_type) for item in items]


def _check_record(where: str, item: object, record_type: type[Record]) -> Record:
    if not isinstance(item, record_type):
        raise PluginError(f"{where} gave a {type(item).__name__}, not a {record_type.__name__}")
    try:
        check_name(item.name, "plugin", "name")
    except SpecError as error:
        raise PluginError(f"{where}: {error}") from None
    if not callable(item.factory):
        raise PluginError(f'{where}: the factory of "{item.name}" is {item.factory!r:.60}, not callable')
    summary: object = item.summary
    if not isinstance(summary, str) or "\n" in summary:
        raise PluginError(f'{where}: the summary of "{item.name}" is not one line of text')
    return item


# -- what factories take and make ----------------------------------------------------------------------------


def check_options(what: str, factory: Callable[..., object], options: Mapping[str, object]) -> None:
    """Refuse options that the factory does not take, before a TypeError from deep inside it would."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # it is written in C and does not tell
    try:
        signature.bind(**options)
    except TypeError as error:
        taken = [
            name
            for name, parameter in signature.parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        unknown = next((name for name in options if name not in taken), "")
        hint = did_you_mean(unknown, taken) or "."
        raise UsageError(f"{what} {error}{hint} Its options: {listed(taken)}") from None


def check_takes_task_and_node(what: str, function: Callable[..., object]) -> None:
    """Refuse a function that cannot be called with a task and a node.

    Raises:
        UsageError: it takes something else.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # it is written in C and does not tell
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise UsageError(f"{what} is called with two arguments, (task, node): {error}") from None


def refuse_function_itself(kind: str, name: str, factory: Callable[..., object]) -> None:
    """Refuse a function of a task and a node where one that makes such a function is to be given.

    Raises:
        UsageError: it is the function itself.
    """
    if isinstance(factory, type):
        return
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    if needed == ["task", "node"]:
        raise UsageError(
            f'add_{kind}("{name}", ...) takes what makes one, called without arguments: write lambda: '
            f'{getattr(factory, "__name__", "function")}, or decorate it with @registry.{kind}("{name}")'
        )


def lacking(protocol: type, made: object) -> str:
    """Name the protocol that an object does not follow, and what it lacks of it."""
    missing = sorted(name for name in get_protocol_members(protocol) if not hasattr(made, name))
    lacks = f" (it lacks {', '.join(missing)})" if missing else ""
    return f"a {protocol.__name__}{lacks}"


# -- words ---------------------------------------------------------------------------------------------------


def name_of(plugin: object) -> str:
    """What a plugin is called if nobody says: its module's name, or its class's."""
    return plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__name__


def module_of(plugin: object) -> str:
    """The module that a plugin was written in."""
    return plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__module__


def summary_of(factory: object) -> str:
    """The first line of a factory's docstring."""
    return first_line(getattr(factory, "__doc__", None) or "")


def first_line(text: str) -> str:
    """The first line that is not empty, cut to a length that fits a table."""
    return next((line.strip()[:200] for line in text.splitlines() if line.strip()), "")


def in_words(error: Exception) -> str:
    """An error as part of a sentence."""
    return str(error) if isinstance(error, MinorchError) else f"{type(error).__name__}: {error}"


def listed(names: Iterable[str]) -> str:
    """Names as part of a sentence."""
    return ", ".join(sorted(names)) or "none"
