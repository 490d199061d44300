"""The registry: what it refuses and how it says so, what it makes, and what observers cannot break."""

from __future__ import annotations

import logging
import types
from collections.abc import Callable, Iterator
from random import Random

import pytest

from minorch.drivers.clock import new_id
from minorch.errors import PluginError, UnknownPlugin, UsageError
from minorch.manager import Manager
from minorch.plugins import (
    FilterPlugin,
    Registry,
    RuntimePlugin,
    SchedulerPlugin,
    StorePlugin,
    choose_filters,
    choose_scheduler,
    hookimpl,
)
from minorch.plugins.listing import PluginInfo, PluginList
from minorch.scheduling import FunctionScheduler, NodeView, Scheduler, TaskView
from minorch.state.events import Event
from minorch.stores.memory import MemoryStore
from minorch.testing import builders

EVENT = Event(number=1, at=0.0, kind="task_running")


class Mine(Scheduler):
    """The author's own.

    And more about it.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight


class Other(Scheduler):
    pass


class Offers:
    """A plugin that offers schedulers: those it is made with."""

    def __init__(self, *records: object) -> None:
        self.records = records

    @hookimpl
    def minorch_schedulers(self) -> Iterator[object]:
        yield from self.records


def quiet(task: TaskView, node: NodeView) -> str | None:
    """Keeps tasks off noisy nodes."""
    return "noisy" if node.labels.get("noise") else None


class Quiet:
    """Keeps tasks off nodes that are too noisy."""

    def __init__(self, most: int = 0) -> None:
        self.most = most

    def __call__(self, task: TaskView, node: NodeView) -> str | None:
        return "noisy" if int(node.labels.get("noise", 0)) > self.most else None


class OffersFilters:
    """A plugin that offers filters: those it is made with."""

    def __init__(self, *records: object) -> None:
        self.records = records

    @hookimpl
    def minorch_filters(self) -> Iterator[object]:
        yield from self.records


def schedulers(registry: Registry) -> list[str]:
    return [info.name for info in registry.describe() if info.kind == "scheduler"]


# -- what is refused at registration -------------------------------------------------------------------------


class Misspelt:
    @hookimpl
    def minorch_shedulers(self) -> list[object]:
        return []


class HalfMisspelt(Misspelt):
    @hookimpl
    def minorch_on_event(self, event: Event) -> None:
        pass


class FarOff:
    @hookimpl
    def on_start(self) -> None:
        pass


class WrongArguments:
    @hookimpl
    def minorch_on_event(self, evnt: Event) -> None:
        pass


class Unmarked:
    def minorch_schedulers(self) -> list[object]:
        return []


class HalfMarked:
    @hookimpl
    def minorch_on_event(self, event: Event) -> None:
        pass

    def minorch_stores(self) -> list[object]:
        return []


class Nothing:
    pass


class Async:
    @hookimpl
    async def minorch_on_event(self, event: Event) -> None:
        pass


class AsyncGenerator:
    @hookimpl
    async def minorch_schedulers(self):
        yield SchedulerPlugin("mine", Mine)


class Wrapper:
    @hookimpl(wrapper=True)
    def minorch_on_event(self, event: Event):
        return (yield)


class OldWrapper:
    @hookimpl(hookwrapper=True)
    def minorch_on_event(self, event: Event):
        yield


class Raises:
    @hookimpl
    def minorch_schedulers(self) -> Iterator[SchedulerPlugin]:
        yield SchedulerPlugin("mine", Mine)
        raise KeyError("gone")


class ForgetsToReturn:
    @hookimpl
    def minorch_runtimes(self) -> None:
        pass


class GivesOne:
    @hookimpl
    def minorch_stores(self) -> StorePlugin:
        return StorePlugin("mine", MemoryStore)


HOOKS = (
    "minorch_schedulers, minorch_filters, minorch_runtimes, minorch_fleets, minorch_stores, minorch_on_event"
)


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (
            Misspelt(),
            f'there is no hook "minorch_shedulers"; did you mean "minorch_schedulers"? The hooks are {HOOKS}',
        ),
        (HalfMisspelt(), 'there is no hook "minorch_shedulers"; did you mean "minorch_schedulers"?'),
        (FarOff(), f'there is no hook "on_start". The hooks are {HOOKS}'),
        (WrongArguments(), "Argument(s) {'evnt'} are declared in the hookimpl but can not be found"),
        (Unmarked(), "minorch_schedulers() is not marked with @minorch.hookimpl"),
        (HalfMarked(), "minorch_stores() is not marked with @minorch.hookimpl"),
        (Nothing(), f"implements no hook; the hooks are {HOOKS}"),
        (types.ModuleType("empty"), "implements no hook"),
        (Offers, "is a class; register an object: Offers()"),
        (Async(), "minorch_on_event() is async; nobody would await it"),
        (AsyncGenerator(), "minorch_schedulers() is async; nobody would await it"),
        (Wrapper(), "minorch_on_event() is a wrapper; the hooks of minorch are not wrapped"),
        (OldWrapper(), "minorch_on_event() is a wrapper"),
        (Raises(), "minorch_schedulers() raised KeyError: 'gone'"),
        (ForgetsToReturn(), "minorch_runtimes() gave nothing, not several RuntimePlugin records; yield them"),
        (OffersFilters(quiet), "minorch_filters() gave a function, not a FilterPlugin"),
        (OffersFilters(FilterPlugin("quiet", 7)), 'the factory of "quiet" is 7, not callable'),  # type: ignore[arg-type]
        (GivesOne(), "minorch_stores() gave a StorePlugin, not several StorePlugin records"),
        (Offers("mine"), "minorch_schedulers() gave a str, not a SchedulerPlugin"),
        (Offers(RuntimePlugin("mine", Mine)), "gave a RuntimePlugin, not a SchedulerPlugin"),  # type: ignore[arg-type]
        (Offers(SchedulerPlugin("my own", Mine)), 'name: "my own" cannot name a plugin'),
        (Offers(SchedulerPlugin("a:b", Mine)), 'name: "a:b" cannot name a plugin'),
        (Offers(SchedulerPlugin(7, Mine)), "the name of a plugin is text, not int"),  # type: ignore[arg-type]
        (Offers(SchedulerPlugin("mine", 7)), 'the factory of "mine" is 7, not callable'),  # type: ignore[arg-type]
        (Offers(SchedulerPlugin("mine", Mine, "a\nb")), 'the summary of "mine" is not one line of text'),
        (Offers(SchedulerPlugin("mine", Mine, None)), 'the summary of "mine" is not one line'),  # type: ignore[arg-type]
        (
            Offers(SchedulerPlugin("mine", Mine), SchedulerPlugin("mine", Other)),
            'offers two schedulers called "mine"',
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_plugin_that_is_not_well_formed_is_refused_and_leaves_nothing_behind(plugin: object, words: str):
    registry = Registry()
    with pytest.raises(PluginError) as caught:
        registry.register(plugin, "theirs", origin="a test")
    assert str(caught.value).startswith('plugin "theirs" (a test)')
    assert words in str(caught.value)
    assert registry.describe() == ()
    registry.emit(EVENT)
    assert not registry.observer_errors


def test_a_clash_of_names_names_both_providers():
    registry = Registry()
    registry.register(Offers(SchedulerPlugin("mine", Mine)), "one", origin="here")
    with pytest.raises(UsageError) as caught:
        registry.register(Offers(SchedulerPlugin("mine", Other)), "two", origin="there")
    assert str(caught.value) == (
        '"two" (there) offers a scheduler "mine", but "one" (here) does already; replace=True replaces it'
    )
    assert type(registry.make_scheduler("mine")) is Mine


def test_two_plugins_of_one_name_clash():
    registry = Registry()
    registry.register(Offers(SchedulerPlugin("mine", Mine)), origin="here")
    with pytest.raises(UsageError) as caught:
        registry.register(Offers(SchedulerPlugin("other", Other)), origin="there")
    assert str(caught.value) == ('"Offers" (there) has the name of "Offers" (here); replace=True replaces it')


def test_the_same_name_may_stand_for_a_scheduler_and_a_store():
    registry = Registry()
    registry.add_scheduler("mine", Mine)
    registry.add_store("mine", MemoryStore)
    assert isinstance(registry.make_scheduler("mine"), Mine)
    assert isinstance(registry.make_store("mine"), MemoryStore)


def test_one_object_is_registered_once():
    registry = Registry()
    plugin = Offers(SchedulerPlugin("mine", Mine))
    registry.register(plugin, "one", origin="here")
    for replace in (False, True):
        with pytest.raises(UsageError) as caught:
            registry.register(plugin, "two", origin="there", replace=replace)
        assert str(caught.value) == '"two" (there) is registered already, as "one" (here)'
    assert registry.register(plugin, "one", replace=True) == "one"


# -- replacing and unregistering -----------------------------------------------------------------------------


def test_a_notebook_cell_may_run_again_with_replace():
    registry = Registry()
    for weight in (1.0, 2.0):
        registry.add_scheduler("mine", lambda weight=weight: Mine(weight), replace=True)
    made = registry.make_scheduler("mine")
    assert isinstance(made, Mine)
    assert made.weight == 2.0
    assert schedulers(registry) == ["mine"]


def test_what_was_replaced_is_back_once_the_replacement_is_unregistered():
    registry = Registry()
    registry.register(Offers(SchedulerPlugin("a", Mine), SchedulerPlugin("b", Mine)), "first")
    registry.add_scheduler("b", Other, replace=True)
    assert type(registry.make_scheduler("b")) is Other
    assert [(info.name, info.provider) for info in registry.describe()] == [
        ("a", "first"),
        ("b", "scheduler:b"),
    ]
    registry.unregister("scheduler:b")
    assert type(registry.make_scheduler("b")) is Mine


def test_a_faulty_replacement_replaces_nothing():
    registry = Registry()
    registry.add_scheduler("mine", Mine)
    with pytest.raises(PluginError):
        registry.add_scheduler("mine", "Other", replace=True)  # type: ignore[arg-type]
    assert type(registry.make_scheduler("mine")) is Mine


def test_a_replaced_observer_is_told_no_more():
    told: list[str] = []

    def observer(name: str) -> object:
        class Observer:
            @hookimpl
            def minorch_on_event(self, event: Event) -> None:
                told.append(name)

        return Observer()

    registry = Registry()
    registry.register(observer("old"), "mine")
    registry.register(observer("new"), "mine", replace=True)
    registry.emit(EVENT)
    assert told == ["new"]
    registry.unregister("mine")
    registry.emit(EVENT)
    assert told == ["new"]


def test_unregistering_what_is_not_there_tells_what_is():
    registry = Registry()
    with pytest.raises(UnknownPlugin) as caught:
        registry.unregister("mine")
    assert str(caught.value) == 'no plugin is called "mine". Registered: none'
    registry.add_scheduler("mine", Mine)
    with pytest.raises(UnknownPlugin) as caught:
        registry.unregister("scheduler:mime")
    assert str(caught.value) == (
        'no plugin is called "scheduler:mime"; did you mean "scheduler:mine"? Registered: scheduler:mine'
    )


def test_two_registries_know_nothing_of_each_other():
    one, other = Registry(), Registry()
    one.add_scheduler("mine", Mine)
    assert schedulers(one) == ["mine"]
    assert schedulers(other) == []


# -- modules and decorators ----------------------------------------------------------------------------------


def test_a_module_is_a_plugin_under_its_own_name():
    module = types.ModuleType("my_package.plugin")

    @hookimpl
    def minorch_schedulers() -> list[SchedulerPlugin]:
        return [SchedulerPlugin("mine", Mine, "the best")]

    module.minorch_schedulers = minorch_schedulers  # type: ignore[attr-defined]
    registry = Registry()
    assert registry.register(module) == "my_package.plugin"
    assert registry.describe() == (
        PluginInfo(
            kind="scheduler",
            name="mine",
            summary="the best",
            provider="my_package.plugin",
            origin="registered from my_package.plugin",
        ),
    )


def test_a_class_is_registered_with_a_decorator_and_stays_what_it_is():
    registry = Registry()
    decorated = registry.scheduler("mine")(Mine)
    assert decorated is Mine
    made = registry.make_scheduler("mine", weight=3.0)
    assert isinstance(made, Mine)
    assert made.weight == 3.0


def test_a_cost_function_is_registered_with_a_decorator():
    registry = Registry()

    @registry.scheduler("fewest")
    def fewest(task: TaskView, node: NodeView) -> float:
        """Fewest tasks first."""
        return node.tasks

    made = registry.make_scheduler("fewest")
    assert repr(made) == "FunctionScheduler('fewest')"
    (info,) = registry.describe()
    assert (info.summary, info.origin) == ("Fewest tasks first.", f"added from {__name__}")


@pytest.mark.parametrize("registering", ["plugin", "add", "decorator"])
def test_a_filter_is_registered_in_three_ways_and_says_why_not(registering: str):
    registry = Registry()
    if registering == "plugin":
        registry.register(OffersFilters(FilterPlugin("quiet", Quiet)))
    elif registering == "add":
        registry.add_filter("quiet", Quiet)
    else:
        assert registry.filter("quiet")(Quiet) is Quiet
    (info,) = registry.describe()
    assert (info.kind, info.name) == ("filter", "quiet")
    assert info.summary == "Keeps tasks off nodes that are too noisy."
    loud = builders.node("loud", labels={"noise": "2"})
    assert registry.make_filter("quiet")(builders.task(), loud) == "noisy"
    assert registry.make_filter("quiet", most=3)(builders.task(), loud) is None


def test_a_filter_function_is_registered_with_a_decorator_and_stays_what_it_is():
    registry = Registry()
    assert registry.filter("quiet")(quiet) is quiet
    assert registry.make_filter("quiet") is quiet
    (info,) = registry.describe()
    assert (info.summary, info.origin) == ("Keeps tasks off noisy nodes.", f"added from {__name__}")
    with pytest.raises(UsageError, match="replace=True"):
        registry.filter("quiet")(Quiet)
    registry.filter("quiet", summary="another", replace=True)(Quiet)
    assert isinstance(registry.make_filter("quiet"), Quiet)
    assert registry.describe()[0].summary == "another"


def test_an_object_that_can_be_called_is_a_filter_too():
    registry = Registry()
    strict = registry.filter("strict")(Quiet(most=1))
    assert registry.make_filter("strict") is strict
    assert registry.describe()[0].origin == f"added from {__name__}"


def test_filters_of_one_name_clash_and_the_message_names_both():
    registry = Registry()
    registry.register(OffersFilters(FilterPlugin("quiet", Quiet)), "mine")
    with pytest.raises(UsageError) as caught:
        registry.register(OffersFilters(FilterPlugin("quiet", Quiet)), "theirs", origin="a test")
    assert str(caught.value) == (
        f'"theirs" (a test) offers a filter "quiet", but "mine" (registered from {__name__}) does already; '
        "replace=True replaces it"
    )
    registry.add_scheduler("quiet", Mine)  # another kind


def test_decorating_again_needs_replace():
    registry = Registry()
    registry.scheduler("mine")(Mine)
    with pytest.raises(UsageError, match="replace=True"):
        registry.scheduler("mine")(Other)
    registry.scheduler("mine", replace=True, summary="another")(Other)
    assert type(registry.make_scheduler("mine")) is Other
    assert registry.describe()[0].summary == "another"


# -- choosing and making -------------------------------------------------------------------------------------


def test_a_factory_may_return_a_cost_function():
    registry = Registry()
    registry.add_scheduler("mine", lambda: lambda _task, node: node.tasks)
    assert isinstance(registry.make_scheduler("mine"), FunctionScheduler)


@pytest.mark.parametrize(
    ("make", "kind", "hint"),
    [
        (Registry.make_scheduler, "scheduler", "registry.add_scheduler()"),
        (Registry.make_filter, "filter", "registry.add_filter()"),
        (Registry.make_runtime, "runtime", "registry.add_runtime()"),
        (Registry.make_store, "store", "registry.add_store()"),
    ],
)
def test_an_unknown_name_tells_the_nearest_all_known_and_what_to_do(
    make: Callable[[Registry, str], object], kind: str, hint: str
):
    registry = Registry()
    registry.add_scheduler("epvm", Mine)
    registry.add_scheduler("spread", Other)
    registry.add_filter("epvm", lambda: quiet)
    registry.add_filter("spread", lambda: quiet)
    registry.add_runtime("epvm", Mine)  # type: ignore[arg-type]
    registry.add_runtime("spread", Mine)  # type: ignore[arg-type]
    registry.add_store("epvm", MemoryStore)
    registry.add_store("spread", MemoryStore)
    with pytest.raises(UnknownPlugin) as caught:
        make(registry, "epvn")
    assert str(caught.value) == (
        f'no {kind} is called "epvn"; did you mean "epvm"? Known: epvm, spread. Register yours with {hint}, '
        "or install a package that offers it and call registry.load_entry_points()"
    )


def test_an_unknown_name_in_an_empty_registry_says_that_none_is_known():
    with pytest.raises(UnknownPlugin, match=r'no scheduler is called "epvm"\. Known: none\.'):
        Registry().make_scheduler("epvm")


def test_a_factory_that_raises_is_blamed_by_name():
    def broken() -> Scheduler:
        raise KeyError("gpu")

    registry = Registry()
    registry.add_scheduler("mine", broken)
    with pytest.raises(PluginError) as caught:
        registry.make_scheduler("mine")
    assert str(caught.value) == (
        f'scheduler "mine" of plugin "scheduler:mine" (added from {__name__}) '
        "could not be made: KeyError: 'gpu'"
    )
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_factorys_own_minorch_error_surfaces_as_it_is():
    error = UsageError("no such file")

    def broken() -> Scheduler:
        raise error

    registry = Registry()
    registry.add_scheduler("mine", broken)
    with pytest.raises(UsageError) as caught:
        registry.make_scheduler("mine")
    assert caught.value is error


def test_options_that_a_factory_does_not_take_are_the_callers_fault():
    registry = Registry()
    registry.add_scheduler("mine", Mine)
    with pytest.raises(UsageError) as caught:
        registry.make_scheduler("mine", wieght=2)
    assert str(caught.value) == (
        'scheduler "mine" got an unexpected keyword argument \'wieght\'; did you mean "weight"? '
        "Its options: weight"
    )


def test_an_option_that_is_missing_is_named():
    def needs(path: str, /, *, size: int) -> Scheduler:
        raise AssertionError((path, size))

    registry = Registry()
    registry.add_scheduler("mine", needs)
    with pytest.raises(UsageError, match=r"missing a required.*argument: 'path'\. Its options: size"):
        registry.make_scheduler("mine")


def test_a_factory_written_in_c_is_called_without_a_look_at_its_options():
    registry = Registry()
    registry.add_scheduler("mine", dict)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="its factory made something of type dict"):
        registry.make_scheduler("mine", weight=1)


class HalfAStore:
    def load(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    ("make", "add", "factory", "words"),
    [
        (
            Registry.make_scheduler,
            Registry.add_scheduler,
            lambda: 7,
            "made something of type int, not a minorch.Scheduler or a function cost(task, node)",
        ),
        (Registry.make_scheduler, Registry.add_scheduler, lambda: Mine, "made the class Mine itself, not a"),
        (
            Registry.make_filter,
            Registry.add_filter,
            lambda: "no",
            "made something of type str, not a function filter(task, node)",
        ),
        (Registry.make_filter, Registry.add_filter, lambda: Quiet, "made the class Quiet itself, not a"),
        (Registry.make_store, Registry.add_store, HalfAStore, "a Store (it lacks close, commit)"),
        (
            Registry.make_store,
            Registry.add_store,
            lambda: MemoryStore,
            "the class MemoryStore itself, not a Store",
        ),
        (
            Registry.make_runtime,
            Registry.add_runtime,
            lambda: None,
            "made nothing, not a Runtime (it lacks",
        ),
    ],
)
def test_what_a_factory_makes_is_checked(
    make: Callable[[Registry, str], object],
    add: Callable[[Registry, str, object], None],
    factory: object,
    words: str,
):
    registry = Registry()
    add(registry, "mine", factory)
    with pytest.raises(PluginError) as caught:
        make(registry, "mine")
    assert words in str(caught.value)
    assert '"mine" of plugin' in str(caught.value)


def test_a_store_is_chosen_by_the_scheme_of_a_url_and_given_the_whole():
    urls: list[str | None] = []

    def make(url: str | None = None, *, ttl: int = 0) -> MemoryStore:
        urls.append(f"{url} {ttl}")
        return MemoryStore()

    registry = Registry()
    registry.add_store("redis", make)
    registry.make_store("redis")
    registry.make_store("redis", url="redis://here")
    registry.make_store("redis://user:secret@host/0", ttl=5)
    assert urls == ["None 0", "redis://here 0", "redis://user:secret@host/0 5"]


def test_two_urls_are_one_too_many():
    registry = Registry()
    with pytest.raises(UsageError, match='store "redis": there are two URLs'):
        registry.make_store("redis://a", url="redis://b")


def test_an_unknown_scheme_does_not_show_the_rest_of_the_url():
    with pytest.raises(UnknownPlugin) as caught:
        Registry().make_store("postgres://user:secret@host/jobs")
    assert 'no store is called "postgres"' in str(caught.value)
    assert "secret" not in str(caught.value)


# -- observers -----------------------------------------------------------------------------------------------


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def minorch_on_event(self, event: Event) -> str:
        self.events.append(event)
        return "ignored"


class Nosy:
    """An observer that does not look at the event."""

    calls = 0

    @hookimpl
    def minorch_on_event(self) -> None:
        self.calls += 1


class Broken:
    @hookimpl
    def minorch_on_event(self, event: Event) -> None:
        raise RuntimeError(event.kind)


def test_every_observer_is_told_in_spite_of_one_that_raises():
    registry, one, other, nosy = Registry(), Recorder(), Recorder(), Nosy()
    registry.register(one, "one")
    registry.register(Broken(), "broken")
    registry.register(other, "other")
    registry.register(nosy)
    registry.emit(EVENT)
    assert one.events == other.events == [EVENT]
    assert nosy.calls == 1
    assert registry.observer_errors == {"broken": 1}


def test_errors_of_observers_are_counted_shown_and_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture):
    registry = Registry()
    registry.register(Broken(), "broken")
    assert registry.describe()[0].summary == ""
    with caplog.at_level(logging.ERROR, logger="minorch.plugins"):
        registry.emit(EVENT)
        assert registry.describe()[0].summary == "raised 1 time"
        for _ in range(9):
            registry.emit(EVENT)
    assert registry.observer_errors == {"broken": 10}
    assert registry.describe()[0].summary == "raised 10 times"
    assert [record.getMessage() for record in caplog.records] == [
        f"plugin broken raised on event task_running ({count} so far)" for count in (1, 2, 4, 8)
    ]
    assert all(record.exc_info for record in caplog.records)
    registry.unregister("broken")
    assert registry.observer_errors == {}


def test_the_logger_is_not_configured():
    logger = logging.getLogger("minorch.plugins")
    assert (logger.handlers, logger.level, logger.propagate) == ([], logging.NOTSET, True)


# -- looking -------------------------------------------------------------------------------------------------


def test_a_registry_reads_as_a_table():
    registry = Registry()
    registry.add_scheduler("mine", Mine)
    registry.register(Recorder(), "recorder", origin="a test")
    table = [line.split("  ") for line in str(registry.describe()).splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in table] == [
        ["KIND", "NAME", "SUMMARY", "PROVIDER", "FROM"],
        ["scheduler", "mine", "The author's own.", "scheduler:mine", f"added from {__name__}"],
        ["observer", "recorder", "recorder", "a test"],
    ]
    assert repr(registry.describe()) == str(registry.describe())
    assert repr(registry) == "<Registry of recorder, scheduler:mine>"


def test_an_empty_registry_says_so():
    assert str(Registry().describe()) == str(PluginList()) == "no plugins"
    assert repr(Registry()) == "<Registry of none>"


def test_a_factory_without_a_docstring_has_no_summary():
    registry = Registry()
    registry.add_scheduler("mine", lambda: Other())
    assert registry.describe()[0].summary == ""


# -- mistakes of a first plugin ------------------------------------------------------------------------------


def by_tasks(task: TaskView, node: NodeView) -> float:
    return node.tasks


def test_a_decorator_without_its_name_says_what_to_write():
    registry = Registry()
    for decorate, kind in ((registry.scheduler, "scheduler"), (registry.filter, "filter")):
        with pytest.raises(UsageError) as told:
            decorate(by_tasks)  # type: ignore[operator]
        assert f'write @registry.{kind}("by-tasks")' in str(told.value)


@pytest.mark.parametrize("function", [lambda: 0.0, lambda task: 0.0, lambda task, node, more: 0.0])
def test_a_function_that_does_not_take_a_task_and_a_node_is_refused_when_it_is_given(function):
    registry = Registry()
    for give in (
        lambda: registry.scheduler("mine")(function),
        lambda: registry.filter("mine")(function),
        lambda: choose_scheduler(function, registry),
        lambda: choose_filters([function], registry),
    ):
        with pytest.raises(UsageError, match=r"two arguments, \(task, node\)"):
            give()
    registry.add_scheduler("mine", lambda: function)
    registry.add_filter("mine", lambda: function)
    for make in (registry.make_scheduler, registry.make_filter):
        with pytest.raises(UsageError, match=r'"mine" is called with two arguments'):
            make("mine")
    assert len(registry.describe()) == 2


def test_a_function_whose_signature_nobody_knows_is_taken():
    assert choose_scheduler(max, Registry()).name == "max"  # type: ignore[attr-defined]
    Registry().add_scheduler("of-c", max)  # type: ignore[arg-type]


def test_a_cost_function_is_no_factory_of_one():
    registry = Registry()
    for add in (registry.add_scheduler, registry.add_filter):
        with pytest.raises(UsageError, match="write lambda: by_tasks, or decorate it"):
            add("mine", by_tasks)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("depends_on", "jobs", 'did you mean "job"'),
        ("depends_on", "any", "write one of node, job, anything|did you mean"),
        ("depends_on", None, "write one of"),
        ("sample", 0, "number of nodes from 1 on"),
        ("sample", "log", "number of nodes from 1 on"),
        ("sample", True, "number of nodes from 1 on"),
        ("generation", "1", "no whole number"),
    ],
)
def test_what_a_class_says_of_itself_is_checked_where_it_is_given(field: str, value: object, words: str):
    made = type("Made", (Scheduler,), {field: value})
    registry = Registry()
    registry.add_scheduler("made", made)
    for give in (
        lambda: choose_scheduler(made(), registry),
        lambda: registry.make_scheduler("made"),
        lambda: Manager(scheduler=made(), ids=new_id, random=Random(1), now=0.0),
    ):
        with pytest.raises(UsageError, match=words):
            give()


def test_what_a_class_may_say_of_itself_is_taken():
    made = type("Made", (Scheduler,), {"depends_on": "job", "sample": "log2", "generation": 3})()
    assert choose_scheduler(made, Registry()) is made
