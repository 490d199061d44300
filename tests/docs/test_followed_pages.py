"""A page that goes from an empty folder to something that works is followed to the letter.

A block below a line such as ``` `run.py`: ``` is that file. Each line after ``$ `` in a console block is
entered, and what stands below it must come out. Both in the order of the page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import Block, python_blocks, steps
from tests.fresh_venv import FreshVenv
from tools import engine
from tools.relay import Relay

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "howto" / "write-a-scheduler.md"
NOWHERE = "unix:///nonexistent/docker.sock"

# The engine's tests run one by one in one process: with them, the page is followed once and not twice.
pytestmark = pytest.mark.xdist_group("engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a page, and what the page says that comes out."""

    line: int
    entered: str
    shown: list[str]


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    found: list[Command] = []
    for number, text in enumerate(block.code.splitlines(), start=block.line):
        if text.startswith("$ "):
            found.append(Command(line=number, entered=text.removeprefix("$ "), shown=[]))
        elif text.strip():
            found[-1].shown.append(" ".join(text.split()))
    return found


def follow(page: str, folder: Path, venv: FreshVenv, **env: str) -> None:
    """Write the files and enter the commands of a page."""
    for step in steps(page):
        if step.file is not None:
            path = folder / step.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.code + "\n", encoding="utf-8")
            continue
        for command in commands(step):
            enter(command, folder, venv, **env)


def enter(command: Command, folder: Path, venv: FreshVenv, **env: str) -> None:
    """Enter one command; it must succeed, and its output must hold what the page shows."""
    done = venv.run(folder, "sh", "-c", command.entered, **env)
    told = f"the page's line {command.line}: {command.entered}\n{done.stdout}"
    assert done.returncode == 0, told
    came_out = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in command.shown:
        assert line in came_out, f"{told}\nnothing like this came out: {line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A folder in which the page was followed."""

    folder: Path
    venv: FreshVenv


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """The page, followed in an empty folder where no engine answers."""
    base = tmp_path_factory.mktemp("followed")
    venv, folder = FreshVenv(base / "venv"), base / "empty"
    folder.mkdir()
    follow(PAGE.read_text(encoding="utf-8"), folder, venv, DOCKER_HOST=NOWHERE)
    return Followed(folder=folder, venv=venv)


def last_program() -> Command:
    """The program that chooses the strategy by name."""
    consoles = [step for step in steps(PAGE.read_text(encoding="utf-8")) if step.file is None]
    entered = [command for block in consoles for command in commands(block)]
    return next(command for command in entered if command.entered == "python run.py")


def test_from_an_empty_folder_to_a_strategy_chosen_by_name(followed: Followed):
    program = (followed.folder / "run.py").read_text(encoding="utf-8")
    assert 'scheduler="mine"' in program
    assert "import minorch_mine" not in program
    assert last_program().shown == ["hello ran on new"]  # which was checked when the page was followed


def test_the_same_strategy_places_containers(
    followed: Followed, engine_url: str, busybox: str, made: set[str]
):
    with Relay(engine.socket_of(engine_url)) as relay:
        enter(last_program(), followed.folder, followed.venv, DOCKER_HOST=relay.url)
    made.update(relay.made)
    assert len(relay.made) == 1, "the task did not run in a container"


def test_pages_with_files_are_followed():
    """Or the Python in them would not be run by anybody."""
    pages = [path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts]
    with_files = [
        path for path in pages if any(step.file for step in steps(path.read_text(encoding="utf-8")))
    ]
    assert with_files == [PAGE]


def test_the_class_of_the_first_steps_is_that_of_the_package():
    text = PAGE.read_text(encoding="utf-8")
    (module,) = (step.code for step in steps(text) if step.file == "src/minorch_mine/scheduler.py")
    written = module[module.index("class FastDisk") :]
    assert any(written in block.code for block in python_blocks(text))


# -- the check itself ----------------------------------------------------------------------------------------

TEXT = """\
`a/b.txt`:

```text
one
```

```console
$ cat a/b.txt
one
$ true
```

```python
x = 1
```

`c.py`:

```python
y = x
```
"""


def test_files_and_commands_come_in_the_order_of_the_page_and_files_are_not_run_as_blocks():
    assert [step.file for step in steps(TEXT)] == ["a/b.txt", None, "c.py"]
    assert [(c.line, c.entered, c.shown) for c in commands(steps(TEXT)[1])] == [
        (8, "cat a/b.txt", ["one"]),
        (10, "true", []),
    ]
    assert [block.code for block in python_blocks(TEXT)] == ["x = 1"]


@pytest.mark.parametrize(
    ("was", "instead", "words"),
    [
        ("$ true", "$ false", "the page's line 10: false"),
        ("$ cat a/b.txt\none", "$ cat a/b.txt\ntwo", "nothing like this came out: two"),
    ],
)
def test_a_page_that_is_not_true_fails(
    was: str, instead: str, words: str, followed: Followed, tmp_path: Path
):
    with pytest.raises(AssertionError, match=re.escape(words)):
        follow(TEXT.replace(was, instead), tmp_path, followed.venv)
