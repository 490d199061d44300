"""Directives that show :mod:`minorch.states`: ``state-table``, ``state-diagram`` and ``reason-table``."""

from __future__ import annotations

import html

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from state_pages import TABLES, reason_table, state_table, svg

from minorch.states import diagram


class StateTable(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(state_table(self.arguments[0]))


class ReasonTable(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(reason_table())


class StateDiagram(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        mermaid = diagram(TABLES[name][1])
        drawing = (
            f'<figure class="state-diagram">{svg(name)}</figure>'
            "<details><summary>The same as Mermaid source</summary>"
            f"<pre>{html.escape(mermaid)}</pre></details>"
        )
        return [
            nodes.raw("", drawing, format="html"),
            nodes.literal_block(mermaid, mermaid, classes=["no-html"]),
        ]


def drop_text_diagrams(app: Sphinx, doctree: nodes.document) -> None:
    """In HTML the drawing is enough; other formats keep the text."""
    if app.builder.format == "html":
        for block in list(doctree.findall(nodes.literal_block)):
            if "no-html" in block["classes"]:
                block.parent.remove(block)


def setup(app: Sphinx) -> dict[str, object]:
    app.add_directive("state-table", StateTable)
    app.add_directive("reason-table", ReasonTable)
    app.add_directive("state-diagram", StateDiagram)
    app.connect("doctree-read", drop_text_diagrams)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
