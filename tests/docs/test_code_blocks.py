"""Every Python block in README and docs runs; every JSON block parses. And the check itself can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pages import (
    PageError,
    json_blocks,
    needs_docker,
    needs_postgresql,
    python_blocks,
    run_page,
)
from tools import engine
from tools.relay import Relay

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    if path.exists() and "_build" not in path.parts
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def param(path: Path):
    marks = [pytest.mark.engine] if needs_docker(path.read_text(encoding="utf-8")) else []
    return pytest.param(path, marks=marks, id=name(path))


@pytest.mark.parametrize("page", [param(path) for path in PAGES])
def test_python_blocks_of_a_page_run(page: Path, request: pytest.FixtureRequest):
    text = page.read_text(encoding="utf-8")
    if not python_blocks(text):
        return
    if needs_docker(text):
        request.getfixturevalue("busybox")
        with Relay(engine.socket_of(request.getfixturevalue("engine_url"))) as relay:
            done = run_page(page, DOCKER_HOST=relay.url)
        request.getfixturevalue("made").update(relay.made)
    elif needs_postgresql(text):
        done = run_page(page, DATABASE_URL=request.getfixturevalue("postgresql_url"))
    else:
        done = run_page(page)
    assert done.returncode == 0, f"{name(page)}:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_json_blocks_of_a_page_parse(page: Path):
    for block in json_blocks(page.read_text(encoding="utf-8")):
        try:
            json.loads(block.code)
        except json.JSONDecodeError as error:
            pytest.fail(f"{name(page)}, the block at line {block.line}: {error}")


def test_there_are_pages():
    assert PAGES, "neither README.md nor docs/ holds a page"


# -- the check itself ----------------------------------------------------------------------------------------

PAGE = """\
# A page

```python
x = 1
```

1. In a list:

   ```python
   for _ in range(2):
       x += 1
   ```

````{tab-set}
```{code-block} python
:caption: inside a directive
assert x == 3
```
````

```{code-cell} ipython3
:tags: [hide-input]
import asyncio
await asyncio.sleep(0)
```

```console
$ python -c 'this is not run'
```

````md
```python
this is a literal, and is not run
```
````

```json
{"a": 1}
```
"""


def write(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def test_the_collector_finds_each_kind_of_block_and_its_line():
    found = python_blocks(PAGE)
    assert [(block.line, block.cell) for block in found] == [(4, False), (10, False), (16, False), (22, True)]
    assert found[1].code == "for _ in range(2):\n    x += 1"
    assert [block.code for block in json_blocks(PAGE)] == ['{"a": 1}']


def test_blocks_of_a_page_share_one_namespace(tmp_path: Path):
    done = run_page(write(tmp_path, PAGE))
    assert done.returncode == 0, done.stderr


def test_a_failing_block_fails_and_its_line_in_the_page_is_named(tmp_path: Path):
    page = write(tmp_path, PAGE + "\n```python\n\nassert x == 4\n```\n")
    done = run_page(page)
    assert done.returncode == 1
    line = page.read_text(encoding="utf-8").split("\n").index("assert x == 4") + 1
    assert f'File "{page}", line {line}' in done.stderr
    assert "AssertionError" in done.stderr


def test_a_block_that_is_not_python_fails(tmp_path: Path):
    done = run_page(write(tmp_path, "```python\nthis is no Python\n```\n"))
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr


def test_a_block_that_is_never_closed_is_found():
    assert [block.code for block in python_blocks("```python\nx = 1")] == ["x = 1"]


@pytest.mark.parametrize("language", ["pycon", "py", "Python", "python3", "python,ignore"])
def test_python_that_would_be_shown_but_not_run_is_an_error(language: str):
    with pytest.raises(PageError, match="line 2"):
        python_blocks(f"```{language}\nx = 1\n```\n")


@pytest.mark.parametrize("tag", ["skip-execution", "raises-exception"])
def test_a_tag_that_hides_a_failure_is_an_error(tag: str):
    with pytest.raises(PageError, match=tag):
        python_blocks(f"```{{code-cell}}\n:tags: [{tag}]\n1 / 0\n```\n")


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("<!-- needs: docker -->\n# Page\n", True),
        ("# Page\n\n<!--needs: docker-->\n", True),
        ("# Page\n\nSome pages say `<!-- needs: docker -->`.\n", False),
    ],
)
def test_a_page_says_that_it_needs_docker(text: str, needed: bool):
    assert needs_docker(text) is needed
