"""Sphinx configuration. Nothing is fetched, notebooks are not executed, and every warning is an error."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent / "_ext"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
author = "the minorch authors"
copyright = author
release = version = PROJECT["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "minorch_states", "plain_docstrings"]
exclude_patterns = ["_build", "_parts", "**/.ipynb_checkpoints"]
root_doc = "index"

# MyST. The tests execute the code blocks; the build only shows them.
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist", "smartquotes"]
myst_heading_anchors = 3
nb_execution_mode = "off"

# The reference.
autodoc_default_options = {"undoc-members": True}  # fields whose name says it all
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
add_module_names = False

# Every reference to one of our own names must resolve.
nitpicky = True
# Other projects' names: there is no inventory of theirs to resolve them with, for the build uses no network.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(typing|typing_extensions|types|collections|concurrent|abc|random|asyncio|enum|datetime|decimal)(\..*)?",
    ),
    (r"py:.*", r"(pluggy|msgspec|docker|psutil|pathlib|os|pandas|matplotlib)(\..*)?"),
    # What is returned by a function whose text says what that is good for.
    (r"py:class", r"minorch\.simulation\.(workloads\.distributions\.\w+|traces\.trace\.Reading)"),
    # What a fleet of machines is made of, and what a cluster passes on.
    (r"py:class", r"minorch\.(cluster\.left_over\.Place|runtimes\.docker\.runtime\.About)"),
    (r"py:class", r"minorch\.runtimes\.swarm\.runtime\.Link"),
    (r"py:class", r"(ClusterOptions|DockerEngine|minorch\.stores\.postgresql\.lead\.Leader)"),
    # Names as they stand in annotations of modules that import them for types alone.
    (r"py:class", r"(Axes|Figure|Column|Run|SimulatedEngine|ManagerProcess|WorkerProcess|Action|Clock)"),
    (
        r"py:class",
        r"minorch\..*\._[A-Za-z]+|minorch\.cluster\.handles\.ClusterAccess|minorch\.runtimes\.swarm\.runtime\.Link",
    ),  # type variables, an inner seam
    (r"py:class", r"(Any|Callable|Iterable|Iterator|Mapping|MutableMapping|Sequence|Set|Self|Path|Random)"),
    (
        r"py:class",
        r"(frozenset\[.*|bool|bytes|dict|float|frozenset|int|list|object|set|str|tuple|type|None|optional)",
    ),
    (r"py:class", r"[0-9.]+"),  # bounds in annotations
    (r"py:exc", r"\w*(Error|Exception)"),
]

html_theme = "furo"
html_title = f"minorch {release}"
html_show_copyright = False
html_show_sphinx = False
