"""Find the code blocks of a Markdown page, and run them.

A page's Python blocks run top to bottom in one namespace, in one process of their own, in an empty directory.
Two things keep a page from running: ``<!-- needs: docker -->``, where no Docker Engine answers, and
``<!-- needs: postgresql -->``, where there is none; such a page finds its address in ``DATABASE_URL``.

A block below a line such as ``` `src/mine/plugin.py`: ``` is that file. Such a page is not run block by
block but followed: see ``test_followed_pages.py``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<ticks>`{3,}|~{3,})[ \t]*(?P<info>[^`]*?)[ \t]*$")
DIRECTIVE = re.compile(r"^\{(?P<name>[\w:-]+)\}\s*(?P<argument>.*)$")
OPTION = re.compile(r"^\s*:[\w-]+:")
FILE = re.compile(r"^`(?P<path>[\w./-]+)`:$")
NEEDS_POSTGRESQL = re.compile(r"^<!--\s*needs:\s*postgresql\s*-->\s*$", re.MULTILINE)
NEEDS_DOCKER = re.compile(r"^<!--\s*needs:\s*docker\s*-->\s*$", re.MULTILINE)

CODE_DIRECTIVES = {"code", "code-block", "sourcecode"}
CELL_DIRECTIVES = {"code-cell"}
PYTHON = {"python", "ipython3"}
UNEXECUTED = {"py", "pycon", "ipython", "pytb"}
"""Spellings that would show Python without running it."""


class PageError(Exception):
    """A page holds a block that would not be checked; the message says where, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, the line on which its code starts (from 1), its code."""

    language: str
    line: int
    code: str
    cell: bool = False
    file: str | None = None
    """The file that it is, if the line above says so."""


def blocks(text: str, first_line: int = 1) -> Iterator[Block]:
    """Yield every code block, those inside other directives too, but not those inside a literal block."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        at += 1
        if opening is None:
            continue
        start = at
        while at < len(lines) and not closes(lines[at], opening["ticks"]):
            at += 1
        body = [dedent(line, opening["indent"]) for line in lines[start:at]]
        at += 1
        above = next((line for line in reversed(lines[: start - 1]) if line.strip()), "")
        named = FILE.match(above)
        for block in blocks_of_fence(opening["info"], body, first_line + start):
            yield replace(block, file=named["path"]) if named else block


def closes(line: str, ticks: str) -> bool:
    """Whether a line closes a fence that was opened with these ticks."""
    line = line.strip()
    return len(line) >= len(ticks) and set(line) == {ticks[0]}


def dedent(line: str, indent: str) -> str:
    """Take a fence's indentation off a line."""
    return line.removeprefix(indent) if line.startswith(indent) else line.lstrip()


def blocks_of_fence(info: str, body: list[str], line: int) -> Iterator[Block]:
    """Yield what one fence holds: itself, or the blocks inside a directive that is not code."""
    directive = DIRECTIVE.match(info)
    if directive is None:
        yield Block(language=info.split(" ")[0], line=line, code="\n".join(body))
        return
    name, argument = directive["name"], directive["argument"]
    if name in CODE_DIRECTIVES | CELL_DIRECTIVES:
        code = "\n".join(without_options(body, line))
        yield Block(language=argument or "python", line=line, code=code, cell=name in CELL_DIRECTIVES)
    else:
        yield from blocks("\n".join(body), line)


def without_options(body: list[str], line: int) -> list[str]:
    """Blank a directive's options, so that line numbers stay."""
    kept = list(body)
    for at, text in enumerate(body):
        if not OPTION.match(text):
            break
        if "skip-execution" in text or "raises-exception" in text:
            raise PageError(f"line {line + at}: {text.strip()!r} would hide a failing block; take it out")
        kept[at] = ""
    return kept


def python_blocks(text: str) -> list[Block]:
    """The page's Python blocks that are no files. Raises :class:`PageError` on Python that would not run."""
    found = []
    for block in blocks(text):
        if block.file is not None:
            continue
        if block.language in PYTHON:
            found.append(block)
        elif block.language in UNEXECUTED or block.language.lower().startswith("python"):
            raise PageError(f"line {block.line}: a {block.language!r} block is not run; write ```python")
    return found


def json_blocks(text: str) -> list[Block]:
    """The page's JSON blocks."""
    return [block for block in blocks(text) if block.language == "json"]


def steps(text: str) -> list[Block]:
    """What a reader who follows the page does, in order: the files to write and the commands to enter."""
    return [block for block in blocks(text) if block.file is not None or block.language == "console"]


def needs_docker(text: str) -> bool:
    """Whether the page says that its code needs a Docker Engine."""
    return NEEDS_DOCKER.search(text) is not None


def needs_postgresql(text: str) -> bool:
    """Whether the page says that its code needs a PostgreSQL."""
    return NEEDS_POSTGRESQL.search(text) is not None


# Cells are run as by a notebook, as far as a live view asks; its tests ask a real one.
RUNNER = """
import ast, asyncio, inspect, json, sys, types

page, *blocks = json.load(sys.stdin)
if any(cell for _, cell, _ in blocks):
    class Handle:
        def display(self, picture): assert "</div>" in picture
        update = display
    shell = types.SimpleNamespace(kernel=None)
    sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
    sys.modules["IPython.display"] = types.SimpleNamespace(HTML=str, DisplayHandle=Handle)
namespace = {"__name__": "__main__"}
sys.argv = [page]
with asyncio.Runner() as runner:
    for line, cell, code in blocks:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if cell else 0
        compiled = compile("\\n" * (line - 1) + code, page, "exec", flags, dont_inherit=True)
        if compiled.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(compiled, namespace))
        else:
            exec(compiled, namespace)
"""


def run_page(path: Path, limit_s: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a page's Python blocks; tracebacks name the page and its own line numbers."""
    found = python_blocks(path.read_text(encoding="utf-8"))
    job = json.dumps([str(path), *([block.line, block.cell, block.code] for block in found)])
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", RUNNER],
            input=job,
            cwd=directory,
            env={**os.environ, **env},
            timeout=limit_s,
            check=False,
            capture_output=True,
            text=True,
        )
