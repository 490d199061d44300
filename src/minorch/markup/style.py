"""How pictures look: one stylesheet, which each view brings with it.

The colours of text and ground are the notebook's, so that a picture is readable on a light theme and on a
dark one: what is to be softer is more transparent.  JupyterLab and VS Code have rules for tables in outputs;
the selectors here are more specific than those.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

_READABLE: Final = """
.minorch {
  font: 13px/1.45 system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif; color: inherit;
  font-variant-numeric: tabular-nums; max-width: 820px; text-align: left; }
.minorch .mo-head { margin: 4px 0 8px; }
.minorch .mo-title { font-weight: 600; font-size: 15px; margin-right: 10px; }
.minorch .mo-dim { opacity: .72; }
.minorch .mo-note { opacity: .72; font-size: 12px; margin: 2px 0 8px; }
.minorch .mo-cap { font-weight: 600; margin: 12px 0 3px; }
.minorch .mo-badge { white-space: nowrap; margin-right: 10px; }
.minorch .mo-badge svg, .minorch .mo-key svg { margin-right: 5px; vertical-align: -1px; }
.minorch .mo-counts { display: inline-block; margin: 2px 24px 6px 0; }
.minorch .mo-keys { font-size: 12px; margin: 2px 0 4px; }
.minorch .mo-key { white-space: nowrap; display: inline-block; margin-right: 14px; }
.minorch .mo-meter { white-space: nowrap; }
.minorch .mo-meter svg { vertical-align: middle; margin-right: 7px; position: relative; top: -1px; }
.minorch .mo-fig { max-width: 100%; height: auto; display: block; }
.minorch svg text { font-size: 11px; fill: currentColor; }
.minorch .mo-scroll { overflow-x: auto; }
.minorch .mo-counts .mo-dim { margin-right: 6px; }
.minorch .mo-fig + .mo-scroll { margin-top: 8px; }
.minorch table.mo-table {
  border-collapse: collapse; border: 0; margin: 2px 0 6px; font-size: 13px; table-layout: auto; width: auto;
  color: inherit; background: none; }
.minorch table.mo-table th, .minorch table.mo-table td {
  text-align: left; vertical-align: top; border: 0; border-bottom: 1px solid rgba(128, 128, 128, .28);
  padding: 4px 18px 4px 0; white-space: normal; background: none; overflow-wrap: break-word; max-width: 420px;
  unicode-bidi: isolate; line-height: 1.4; }
.minorch table.mo-table th { font-weight: 600; white-space: nowrap; opacity: .72; font-size: 12px; }
.minorch table.mo-table th.mo-right, .minorch table.mo-table td.mo-right {
  text-align: right; white-space: nowrap; }
.minorch table.mo-table td.mo-whole { white-space: nowrap; overflow-wrap: normal; }
.minorch table.mo-table tbody tr:nth-child(n), .minorch table.mo-table thead tr {
  background: none; border: 0; }
"""

STYLE: Final = "".join(line.strip() for line in _READABLE.splitlines())
