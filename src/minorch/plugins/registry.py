"""The registry: which plugins there are, which thing a name stands for, and making it.

The hooks and their records are in :mod:`minorch.plugins.hookspecs`.  Nothing is loaded behind the
user's back, and there is no registry but those that somebody made.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import msgspec
import pluggy
from typing_extensions import get_protocol_members

from minorch.contracts import Runtime, Store
from minorch.errors import MinorchError, PluginError, SpecError, UnknownPlugin, UsageError, did_you_mean
from minorch.ids import check_name
from minorch.plugins import hookspecs
from minorch.plugins.hookspecs import RuntimePlugin, SchedulerPlugin, StorePlugin, hookimpl
from minorch.plugins.listing import PluginInfo, PluginKind, PluginList
from minorch.scheduling.scheduler import CostFunction, FunctionScheduler, Scheduler
from minorch.state.events import Event

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINT_GROUP", "Registry"]

ENTRY_POINT_GROUP: Final = "minorch"

_Kind = Literal["scheduler", "runtime", "store"]
_Record = SchedulerPlugin | RuntimePlugin | StorePlugin
_Strategy = TypeVar("_Strategy", bound=type[Scheduler] | CostFunction)

_FACTORIES: Final[Mapping[str, tuple[_Kind, type[_Record]]]] = {
    "minorch_schedulers": ("scheduler", SchedulerPlugin),
    "minorch_runtimes": ("runtime", RuntimePlugin),
    "minorch_stores": ("store", StorePlugin),
}
_OBSERVER: Final = "minorch_on_event"
_HOOKS: Final = (*_FACTORIES, _OBSERVER)

_log = logging.getLogger("minorch.plugins")


class _Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One registered plugin and what it offers."""

    name: str
    origin: str
    plugin: object
    offers: Mapping[tuple[_Kind, str], _Record]
    observes: bool

    def __str__(self) -> str:
        return f'"{self.name}" ({self.origin})'


class Registry:
    """The plugins of one application: registered by hand or from entry points, chosen by name.

    It is empty at first; :func:`minorch.default_registry` makes one with the built-in ones.

    >>> registry = Registry()
    >>> @registry.scheduler("fewest-tasks", summary="the node with the fewest tasks")
    ... def fewest_tasks(task, node):
    ...     return node.tasks
    >>> registry.make_scheduler("fewest-tasks")
    FunctionScheduler('fewest_tasks')
    """

    def __init__(self) -> None:
        self._manager = _new_manager()
        self._providers: dict[str, _Provider] = {}
        """In the order of registration. What a later one offers hides the same of an earlier one."""
        self._broken: dict[str, PluginInfo] = {}
        """By the name of the entry point."""
        self._errors: dict[str, int] = {}

    # -- registering -----------------------------------------------------------------------------------------

    def register(
        self, plugin: object, name: str | None = None, *, replace: bool = False, origin: str | None = None
    ) -> str:
        """Register a plugin and return its name.

        Args:
            plugin: a module or an object whose functions carry ``@minorch.hookimpl``.
            name: what to call the plugin; None: its module's name, or its class's.
            replace: let it take the place of the plugin of this name, and let what it offers hide what
                others offer by the same name until it is unregistered: for a notebook cell that runs again.
            origin: where it comes from, for :meth:`describe`; None: the module it was written in.

        Raises:
            PluginError: it is not well formed; the message says what and where. Nothing is then changed.
            UsageError: the name of the plugin, or of something that it offers, is taken.
        """
        called = name or _name_of(plugin)
        provider = _inspect(plugin, called, origin or f"registered from {_module_of(plugin)}")
        same = next((held for held in self._providers.values() if held.plugin is plugin), None)
        if same is not None and same.name != called:
            raise UsageError(f"{provider} is registered already, as {same}")
        if not replace:
            self._refuse_clashes(provider)
        if called in self._providers:
            self.unregister(called)
        self._manager.register(plugin, called)
        self._providers[called] = provider
        return called

    def unregister(self, name: str) -> None:
        """Remove a plugin and all it offers. What it had replaced by the same name is there again.

        Raises:
            UnknownPlugin: no plugin has this name.
        """
        if name not in self._providers:
            raise UnknownPlugin(
                f'no plugin is called "{name}"{did_you_mean(name, self._providers) or "."} '
                f"Registered: {_listed(self._providers)}"
            )
        self._manager.unregister(name=name)
        del self._providers[name]
        self._errors.pop(name, None)

    def add_scheduler(
        self,
        name: str,
        factory: Callable[..., Scheduler | CostFunction],
        *,
        summary: str = "",
        replace: bool = False,
    ) -> None:
        """Register one strategy: a class, or a function that returns one.

        Raises:
            PluginError: the name or the factory is not well formed.
            UsageError: the name is taken.
        """
        self._add(_OneScheduler(SchedulerPlugin(name, factory, summary)), replace)

    def add_runtime(
        self, name: str, factory: Callable[..., Runtime], *, summary: str = "", replace: bool = False
    ) -> None:
        """Register one runtime; as :meth:`add_scheduler`."""
        self._add(_OneRuntime(RuntimePlugin(name, factory, summary)), replace)

    def add_store(
        self, name: str, factory: Callable[..., Store], *, summary: str = "", replace: bool = False
    ) -> None:
        """Register one store; as :meth:`add_scheduler`. *name* is the scheme of its URLs too."""
        self._add(_OneStore(StorePlugin(name, factory, summary)), replace)

    def scheduler(
        self, name: str, *, summary: str = "", replace: bool = False
    ) -> Callable[[_Strategy], _Strategy]:
        """Decorate a subclass of ``Scheduler``, or a function ``cost(task, node)``, to register it.

        Args:
            name: what it is chosen by.
            summary: what it does, in one line; by default the first line of its docstring.
            replace: take the place of what had this name.
        """

        def decorate(strategy: _Strategy) -> _Strategy:
            made = strategy if isinstance(strategy, type) else _function_factory(strategy)
            self.add_scheduler(name, made, summary=summary, replace=replace)
            return strategy

        return decorate

    def _add(self, plugin: _OneScheduler | _OneRuntime | _OneStore, replace: bool) -> None:
        record = plugin.record
        origin = f"added from {getattr(record.factory, '__module__', None) or 'an object'}"
        self.register(plugin, f"{plugin.kind}:{record.name}", replace=replace, origin=origin)

    def _refuse_clashes(self, provider: _Provider) -> None:
        hint = "; replace=True replaces it"
        for key in provider.offers:
            other = next((held for held in self._providers.values() if key in held.offers), None)
            if other is not None:
                kind, name = key
                raise UsageError(f'{provider} offers a {kind} "{name}", but {other} does already{hint}')
        if provider.name in self._providers:
            raise UsageError(f"{provider} has the name of {self._providers[provider.name]}{hint}")

    # -- entry points ----------------------------------------------------------------------------------------

    def load_entry_points(self) -> PluginList:
        """Register the plugins that installed packages name in the entry-point group ``minorch``.

        Each is imported by itself.  One that fails, or whose name is taken, is logged and skipped; it
        is listed as ``broken`` here and in :meth:`describe`, with the reason.  Those that were loaded
        before are left alone.

        Returns:
            What was found this time.
        """
        from importlib import metadata

        found: list[str] = []
        broken: list[PluginInfo] = []
        for point in sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
            held = self._providers.get(point.name)
            origin = f"entry point of {_distribution_of(point)}"
            if held is not None and held.origin == origin:
                continue
            try:
                found.append(self.register(point.load(), point.name, origin=origin))
            except Exception as error:  # noqa: BLE001  a package may raise anything when it is imported
                _log.warning("plugin %s (%s) was skipped", point.name, origin, exc_info=True)
                broken.append(
                    PluginInfo(
                        kind="broken",
                        name=point.name,
                        summary=_first_line(_in_words(error)),
                        provider=point.value,
                        origin=origin,
                    )
                )
                continue
            self._broken.pop(point.name, None)
        self._broken.update((info.name, info) for info in broken)
        return PluginList([*(info for info in self._offered() if info.provider in found), *broken])

    # -- choosing --------------------------------------------------------------------------------------------

    def make_scheduler(self, name: str, **options: object) -> Scheduler:
        """Return a new strategy.

        Args:
            name: which one.
            options: what its factory takes.

        Raises:
            UnknownPlugin: none has this name.
            UsageError: the factory does not take these options.
            PluginError: the factory raised, or made something else.
        """
        made = self._make("scheduler", name, options)
        if isinstance(made, Scheduler):
            return made
        if callable(made) and not isinstance(made, type):
            return FunctionScheduler(made)
        raise self._wrong("scheduler", name, made, "a minorch.Scheduler or a function cost(task, node)")

    def make_runtime(self, name: str, **options: object) -> Runtime:
        """Return a new runtime; as :meth:`make_scheduler`."""
        made = self._make("runtime", name, options)
        if isinstance(made, Runtime) and not isinstance(made, type):
            return made
        raise self._wrong("runtime", name, made, _lacking(Runtime, made))

    def make_store(self, name_or_url: str, **options: object) -> Store:
        """Return an open store; as :meth:`make_scheduler`.

        Args:
            name_or_url: a name, such as ``"memory"``, or a URL, such as ``"sqlite:///var/lib/jobs.db"``.
                What stands before the first colon of a URL is the name of the store; its factory is
                given the whole URL as ``url``.
            options: what its factory takes.
        """
        name, colon, _ = name_or_url.partition(":")
        if colon and "url" in options:
            raise UsageError(f'store "{name}": there are two URLs, one as the name and one as url=')
        made = self._make("store", name, {"url": name_or_url, **options} if colon else options)
        if isinstance(made, Store) and not isinstance(made, type):
            return made
        raise self._wrong("store", name, made, _lacking(Store, made))

    def _find(self, kind: _Kind, name: str) -> tuple[_Record, _Provider]:
        for provider in reversed(self._providers.values()):
            record = provider.offers.get((kind, name))
            if record is not None:
                return record, provider
        known = {key[1] for provider in self._providers.values() for key in provider.offers if key[0] == kind}
        raise UnknownPlugin(
            f'no {kind} is called "{name:.70}"{did_you_mean(name, known) or "."} Known: {_listed(known)}. '
            f"Register yours with registry.add_{kind}(), or install a package that offers it "
            "and call registry.load_entry_points()"
        )

    def _make(self, kind: _Kind, name: str, options: Mapping[str, object]) -> object:
        record, provider = self._find(kind, name)
        what = f'{kind} "{name}"'
        _check_options(what, record.factory, options)
        try:
            return record.factory(**options)
        except MinorchError:
            raise
        except Exception as error:
            detail = _in_words(error)
            raise PluginError(f"{what} of plugin {provider} could not be made: {detail}"[:2000]) from error

    def _wrong(self, kind: _Kind, name: str, made: object, expected: str) -> PluginError:
        _, provider = self._find(kind, name)
        if isinstance(made, type):
            what = f"the class {made.__name__} itself"
        else:
            what = "nothing" if made is None else f"something of type {type(made).__name__}"
        return PluginError(f'{kind} "{name}" of plugin {provider}: its factory made {what}, not {expected}')

    # -- observing -------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Tell every observer of *event*.

        One that raises does not keep the others from being told.  Its errors are counted in
        :attr:`observer_errors` and logged to ``minorch.plugins``, the first, second, fourth, eighth
        and so on of each, so that a broken one does not flood the log.
        """
        for implementation in self._manager.hook.minorch_on_event.get_hookimpls():
            try:
                implementation.function(*(event for _ in implementation.argnames))
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001  an observer may raise anything; it is told in its own name
                name = implementation.plugin_name
                count = self._errors[name] = self._errors.get(name, 0) + 1
                if count & (count - 1) == 0:
                    _log.exception("plugin %s raised on event %s (%d so far)", name, event.kind, count)

    @property
    def observer_errors(self) -> Mapping[str, int]:
        """How often each observer has raised, by the plugin's name; those that never did are left out."""
        return dict(self._errors)

    # -- looking ---------------------------------------------------------------------------------------------

    def describe(self) -> PluginList:
        """Say what there is to choose from, who observes, what could not be loaded, and where it is from."""
        return PluginList([*self._offered(), *self._broken.values()])

    def _offered(self) -> Iterator[PluginInfo]:
        for provider in self._providers.values():
            for (kind, name), record in provider.offers.items():
                if self._find(kind, name)[0] is record:
                    yield _info(kind, name, record.summary or _summary_of(record.factory), provider)
            if provider.observes:
                errors = self._errors.get(provider.name, 0)
                summary = f"raised {errors} time{'' if errors == 1 else 's'}" if errors else ""
                yield _info("observer", provider.name, summary, provider)

    def __repr__(self) -> str:
        return f"<Registry of {_listed(self._providers)}>"


# -- one plugin for one thing --------------------------------------------------------------------------------


class _OneScheduler:
    kind: Final = "scheduler"

    def __init__(self, record: SchedulerPlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_schedulers(self) -> Iterable[SchedulerPlugin]:
        return [self.record]


class _OneRuntime:
    kind: Final = "runtime"

    def __init__(self, record: RuntimePlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_runtimes(self) -> Iterable[RuntimePlugin]:
        return [self.record]


class _OneStore:
    kind: Final = "store"

    def __init__(self, record: StorePlugin) -> None:
        self.record = record

    @hookimpl
    def minorch_stores(self) -> Iterable[StorePlugin]:
        return [self.record]


def _function_factory(function: CostFunction) -> Callable[[], Scheduler]:
    def make() -> Scheduler:
        return FunctionScheduler(function)

    make.__doc__, make.__module__ = function.__doc__, function.__module__  # what describe() tells of it
    return make


# -- looking a plugin over before it is registered -----------------------------------------------------------


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("minorch")
    manager.add_hookspecs(hookspecs)
    return manager


def _inspect(plugin: object, name: str, origin: str) -> _Provider:
    """Try the plugin on a manager of its own, so that a faulty one never gets into the real one.

    Raises:
        PluginError: it is not well formed.
    """
    who = f'plugin "{name}" ({origin})'
    if isinstance(plugin, type):
        raise PluginError(f"{who} is a class; register an object: {plugin.__name__}()")
    trial = _new_manager()
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
    offers: dict[tuple[_Kind, str], _Record] = {}
    for hook, (kind, record_type) in _FACTORIES.items():
        for implementation in hooks[hook]:
            for record in _call_factory_hook(f"{who}: {hook}()", implementation.function, record_type):
                if (kind, record.name) in offers:
                    raise PluginError(f'{who} offers two {kind}s called "{record.name}"')
                offers[kind, record.name] = record
    return _Provider(name=name, origin=origin, plugin=plugin, offers=offers, observes=bool(hooks[_OBSERVER]))


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
    where: str, function: Callable[..., object], record_type: type[_Record]
) -> list[_Record]:
    try:
        result = function()
        items = list(result) if isinstance(result, Iterable) else None
    except Exception as error:
        raise PluginError(f"{where} raised {_in_words(error)}"[:2000]) from error
    if items is None:
        gave = "nothing" if result is None else f"a {type(result).__name__}"
        raise PluginError(f"{where} gave {gave}, not several {record_type.__name__} records; yield them")
    return [_check_record(where, item, record_type) for item in items]


def _check_record(where: str, item: object, record_type: type[_Record]) -> _Record:
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


def _check_options(what: str, factory: Callable[..., object], options: Mapping[str, object]) -> None:
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
        raise UsageError(f"{what} {error}{hint} Its options: {_listed(taken)}") from None


def _lacking(protocol: type, made: object) -> str:
    missing = sorted(name for name in get_protocol_members(protocol) if not hasattr(made, name))
    lacks = f" (it lacks {', '.join(missing)})" if missing else ""
    return f"a {protocol.__name__}{lacks}"


# -- words ---------------------------------------------------------------------------------------------------


def _info(kind: PluginKind, name: str, summary: str, provider: _Provider) -> PluginInfo:
    return PluginInfo(kind=kind, name=name, summary=summary, provider=provider.name, origin=provider.origin)


def _name_of(plugin: object) -> str:
    return plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__name__


def _module_of(plugin: object) -> str:
    return plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__module__


def _summary_of(factory: object) -> str:
    return _first_line(getattr(factory, "__doc__", None) or "")


def _first_line(text: str) -> str:
    return next((line.strip()[:200] for line in text.splitlines() if line.strip()), "")


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, MinorchError) else f"{type(error).__name__}: {error}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _distribution_of(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
