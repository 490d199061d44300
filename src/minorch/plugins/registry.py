"""The registry: which plugins there are, which thing a name stands for, and making it.

The hooks and their records are in :mod:`minorch.plugins.hookspecs`, what a plugin is held to in
:mod:`minorch.plugins.inspection`.  Nothing is loaded behind the user's back, and there is no registry
but those that somebody made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, cast

from minorch.contracts import Fleet, Runtime, Store
from minorch.errors import MinorchError, PluginError, UnknownPlugin, UsageError, did_you_mean
from minorch.plugins.hookspecs import (
    FilterPlugin,
    FleetPlugin,
    RuntimePlugin,
    SchedulerPlugin,
    StorePlugin,
)
from minorch.plugins.inspection import (
    Kind,
    Provider,
    Record,
    check_options,
    check_takes_task_and_node,
    first_line,
    in_words,
    lacking,
    listed,
    look_over,
    module_of,
    name_of,
    new_manager,
    refuse_function_itself,
    summary_of,
)
from minorch.plugins.installed import InstalledPlugin, installed_plugins
from minorch.plugins.listing import PluginInfo, PluginKind, PluginList
from minorch.plugins.single import (
    OneFilter,
    OneFleet,
    OneRuntime,
    OneScheduler,
    OneStore,
    filter_of,
    scheduler_of,
)
from minorch.scheduling.filters import CustomFilter
from minorch.scheduling.scheduler import CostFunction, FunctionScheduler, Scheduler, check_strategy
from minorch.scheduling.view import NodeView, TaskView
from minorch.state.events import Event

__all__ = ["Registry"]

_Strategy = TypeVar("_Strategy", bound=type[Scheduler] | CostFunction)


class _FilterObject(Protocol):
    def __call__(self, task: TaskView, node: NodeView, /) -> str | None: ...


_Filter = TypeVar("_Filter", bound=type[_FilterObject] | CustomFilter)

_log = logging.getLogger("minorch.plugins")


class Registry:
    """The plugins of one application: registered by hand or from entry points, chosen by name.

    It is empty at first; :func:`minorch.default_registry` makes one with the built-in ones.

    >>> registry = Registry()
    >>> @registry.scheduler("fewest-tasks", summary="the node with the fewest tasks")
    ... def fewest_tasks(task, node):
    ...     return node.tasks
    >>> registry.make_scheduler("fewest-tasks")
    FunctionScheduler('fewest_tasks')

    Args:
        installed: whether a name that is not registered is looked for among installed packages before
            it is given up.  Otherwise they are loaded only by :meth:`load_entry_points`.
    """

    def __init__(self, *, installed: bool = False) -> None:
        self._installed = installed
        self._manager = new_manager()
        self._providers: dict[str, Provider] = {}
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
        called = name or name_of(plugin)
        origin = origin or f"registered from {module_of(plugin)}"
        return self._accept(look_over(plugin, called, origin), replace=replace)

    def _accept(self, provider: Provider, *, replace: bool = False) -> str:
        plugin, called = provider.plugin, provider.name
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
                f"Registered: {listed(self._providers)}"
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
            UsageError: the name is taken, or it is the cost function itself.
        """
        refuse_function_itself("scheduler", name, factory)
        self._add(OneScheduler(SchedulerPlugin(name, factory, summary)), replace)

    def add_filter(
        self, name: str, factory: Callable[..., CustomFilter], *, summary: str = "", replace: bool = False
    ) -> None:
        """Register one filter: a factory that returns a function; as :meth:`add_scheduler`."""
        refuse_function_itself("filter", name, factory)
        self._add(OneFilter(FilterPlugin(name, factory, summary)), replace)

    def add_runtime(
        self, name: str, factory: Callable[..., Runtime], *, summary: str = "", replace: bool = False
    ) -> None:
        """Register one runtime; as :meth:`add_scheduler`."""
        self._add(OneRuntime(RuntimePlugin(name, factory, summary)), replace)

    def add_fleet(
        self, name: str, factory: Callable[..., Fleet], *, summary: str = "", replace: bool = False
    ) -> None:
        """Register one fleet; as :meth:`add_scheduler`."""
        self._add(OneFleet(FleetPlugin(name, factory, summary)), replace)

    def add_store(
        self, name: str, factory: Callable[..., Store], *, summary: str = "", replace: bool = False
    ) -> None:
        """Register one store; as :meth:`add_scheduler`. *name* is the scheme of its URLs too."""
        self._add(OneStore(StorePlugin(name, factory, summary)), replace)

    def scheduler(
        self, name: str, *, summary: str = "", replace: bool = False
    ) -> Callable[[_Strategy], _Strategy]:
        """Decorate a subclass of ``Scheduler``, or a function ``cost(task, node)``, to register it.

        Args:
            name: what it is chosen by.
            summary: what it does, in one line; by default the first line of its docstring.
            replace: take the place of what had this name.
        """

        _refuse_bare("scheduler", name)

        def decorate(strategy: _Strategy) -> _Strategy:
            made = strategy if isinstance(strategy, type) else scheduler_of(strategy)
            self.add_scheduler(name, made, summary=summary, replace=replace)
            return strategy

        return decorate

    def filter(self, name: str, *, summary: str = "", replace: bool = False) -> Callable[[_Filter], _Filter]:
        """Decorate a function ``filter(task, node)``, or a class of such objects, to register it.

        The function returns None if *task* may go to *node*; else why not, in words that are the same for
        all nodes that are refused for the same reason.

        Args:
            name: what it is chosen by.
            summary: what it keeps off, in one line; by default the first line of its docstring.
            replace: take the place of what had this name.
        """

        _refuse_bare("filter", name)

        def decorate(objects: _Filter) -> _Filter:
            made = objects if isinstance(objects, type) else filter_of(objects)
            self.add_filter(name, made, summary=summary, replace=replace)
            return objects

        return decorate

    def _add(
        self, plugin: OneScheduler | OneFilter | OneRuntime | OneFleet | OneStore, replace: bool
    ) -> None:
        record = plugin.record
        origin = f"added from {getattr(record.factory, '__module__', None) or 'an object'}"
        self.register(plugin, f"{plugin.kind}:{record.name}", replace=replace, origin=origin)

    def _refuse_clashes(self, provider: Provider) -> None:
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
        found: list[str] = []
        broken: list[str] = []
        for point in self._not_loaded():
            try:
                found.append(self._accept(point.look_over()))
            except Exception as error:  # noqa: BLE001  a package may raise anything when it is imported
                self._note_broken(point, error)
                broken.append(point.name)
                continue
            self._broken.pop(point.name, None)
        offered = (info for info in self._offered() if info.provider in found)
        return PluginList([*offered, *(self._broken[name] for name in broken)])

    def _not_loaded(self) -> Iterator[InstalledPlugin]:
        for point in installed_plugins():
            held = self._providers.get(point.name)
            if held is None or held.origin != point.origin:
                yield point

    def _note_broken(self, point: InstalledPlugin, error: Exception) -> None:
        _log.warning("plugin %s (%s) was skipped", point.name, point.origin, exc_info=error)
        self._broken[point.name] = PluginInfo(
            kind="broken",
            name=point.name,
            summary=first_line(in_words(error)),
            provider=point.value,
            origin=point.origin,
        )

    def _find_installed(self, kind: Kind, name: str) -> tuple[Record, Provider]:
        """Register the installed plugin that offers this. Others are looked over too, but not registered."""
        fitting: list[Provider] = []
        seen: set[str] = set()
        broken: list[str] = []
        for point in sorted(self._not_loaded(), key=lambda point: point.name != name):
            if point.name != name and any(provider.name == name for provider in fitting):
                break  # the package that is called so offers it: no need to import the others
            try:
                provider = point.look_over()
            except Exception as error:  # noqa: BLE001  a package may raise anything when it is imported
                self._note_broken(point, error)
                broken.append(f"{point.name} ({point.origin}): {self._broken[point.name].summary}")
                continue
            self._broken.pop(point.name, None)
            seen |= {offered for of_kind, offered in provider.offers if of_kind == kind}
            if (kind, name) in provider.offers:
                fitting.append(provider)
        if len(fitting) > 1:
            both = " and ".join(map(str, fitting))
            raise UsageError(f'{both} offer a {kind} "{name}"; register the one that you want')
        if not fitting:
            raise self._unknown(kind, name, seen, broken)
        self._accept(fitting[0])
        return fitting[0].offers[kind, name], fitting[0]

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
            check_strategy(made)
            return made
        if callable(made) and not isinstance(made, type):
            check_takes_task_and_node(f'scheduler "{name}"', made)
            return FunctionScheduler(made)
        raise self._wrong("scheduler", name, made, "a minorch.Scheduler or a function cost(task, node)")

    def make_filter(self, name: str, **options: object) -> CustomFilter:
        """Return a new filter; as :meth:`make_scheduler`."""
        made = self._make("filter", name, options)
        if callable(made) and not isinstance(made, type):
            check_takes_task_and_node(f'filter "{name}"', made)
            return cast("CustomFilter", made)
        raise self._wrong("filter", name, made, "a function filter(task, node)")

    def make_runtime(self, name: str, **options: object) -> Runtime:
        """Return a new runtime; as :meth:`make_scheduler`."""
        made = self._make("runtime", name, options)
        if isinstance(made, Runtime) and not isinstance(made, type):
            return made
        raise self._wrong("runtime", name, made, lacking(Runtime, made))

    def make_fleet(self, name: str, **options: object) -> Fleet:
        """Return a new fleet; as :meth:`make_scheduler`."""
        made = self._make("fleet", name, options)
        if isinstance(made, Fleet) and not isinstance(made, type):
            return made
        raise self._wrong("fleet", name, made, lacking(Fleet, made))

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
        raise self._wrong("store", name, made, lacking(Store, made))

    def _held(self, kind: Kind, name: str) -> tuple[Record, Provider] | None:
        for provider in reversed(self._providers.values()):
            record = provider.offers.get((kind, name))
            if record is not None:
                return record, provider
        return None

    def _find(self, kind: Kind, name: str) -> tuple[Record, Provider]:
        held = self._held(kind, name)
        if held is not None:
            return held
        if self._installed:
            return self._find_installed(kind, name)
        raise self._unknown(kind, name)

    def _unknown(
        self, kind: Kind, name: str, seen: Iterable[str] = (), broken: Sequence[str] = ()
    ) -> UnknownPlugin:
        """What to raise for a name that nobody offers.

        Args:
            kind: of what.
            name: the name.
            seen: names that installed plugins offer.
            broken: installed plugins that could not be looked over, with the reasons.
        """
        known = {key[1] for provider in self._providers.values() for key in provider.offers if key[0] == kind}
        known.update(seen)
        words = (
            f'no {kind} is called "{name:.70}"{did_you_mean(name, known) or "."} Known: {listed(known)}. '
            f"Register yours with registry.add_{kind}(), or install a package that offers it"
        )
        if not self._installed:
            words += " and call registry.load_entry_points()"
            waiting = [f"{point.name} ({point.origin})" for point in self._not_loaded()]
            if waiting:
                words += f". Installed, but not loaded: {', '.join(waiting)}"
        if broken:
            words += f". Installed, but broken: {'; '.join(broken)}"
        return UnknownPlugin(words[:2000])

    def _make(self, kind: Kind, name: str, options: Mapping[str, object]) -> object:
        record, provider = self._find(kind, name)
        what = f'{kind} "{name}"'
        check_options(what, record.factory, options)
        try:
            return record.factory(**options)
        except MinorchError:
            raise
        except Exception as error:
            detail = in_words(error)
            raise PluginError(f"{what} of plugin {provider} could not be made: {detail}"[:2000]) from error

    def _wrong(self, kind: Kind, name: str, made: object, expected: str) -> PluginError:
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
                held = self._held(kind, name)
                if held is not None and held[0] is record:
                    yield _info(kind, name, record.summary or summary_of(record.factory), provider)
            if provider.observes:
                errors = self._errors.get(provider.name, 0)
                summary = f"raised {errors} time{'' if errors == 1 else 's'}" if errors else ""
                yield _info("observer", provider.name, summary, provider)

    def __repr__(self) -> str:
        return f"<Registry of {listed(self._providers)}>"

    def _repr_html_(self) -> str:
        return self.describe()._repr_html_()


def _refuse_bare(kind: str, name: object) -> None:
    """Without parentheses the decorated function is the name, and would be lost."""
    if not isinstance(name, str):
        suggested = getattr(name, "__name__", "name").replace("_", "-")
        raise UsageError(f'@registry.{kind} takes a name: write @registry.{kind}("{suggested}")')


def _info(kind: PluginKind, name: str, summary: str, provider: Provider) -> PluginInfo:
    return PluginInfo(kind=kind, name=name, summary=summary, provider=provider.name, origin=provider.origin)
