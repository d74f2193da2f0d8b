"""The index of a run: one HTML page that works from disk, with a row for each attempt."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from agent.runs.ledger import BAD
from agent.runs.table import Facts, Row, clock, headline, seconds

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem; border-bottom: 1px solid #d0d7de; }
th { position: sticky; top: 0; background: #f6f8fa; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .9em; overflow-wrap: anywhere; }
.id { white-space: nowrap; }
.bad { color: #a40e26; font-weight: 600; }
.good { color: #116329; }
.quiet { color: #57606a; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; } th { background: #161b22; } th, td { border-color: #30363d; }
  .bad { color: #ff7b72; } .good { color: #56d364; } .quiet { color: #8b949e; } a { color: #79c0ff; }
}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(facts: Facts, rows: Sequence[Row]) -> str:
    """The page; links lead to the recordings beside it."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*facts.gates, *facts.notes))
    command = " ".join(facts.command)
    body = "".join(_row(row, facts.folder) for row in rows)
    table = (
        "<table><thead><tr><th>Test</th><th>Attempt</th><th>Outcome</th><th>Seconds</th><th>Session id</th>"
        f"<th>Device id</th><th>Phone</th><th>Replay</th></tr></thead><tbody>{body}</tbody></table>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width"><title>Tests and their replays</title>'
        f"<style>{_STYLE}</style></head><body><h1>Tests and their replays</h1>"
        f"<p>{escape(headline(facts, rows))}</p>"
        f'<p class="quiet">{clock(facts.start_ms)}, {(facts.end_ms - facts.start_ms) / 1000:.0f} s: '
        f"<code>{escape(command)}</code></p>" + (f"<ul>{notes}</ul>" if notes else "") + (table if rows else "")
        + '<p class="quiet">A replay is opened by <code>android-replay view FILE</code>, and made a page or a video by '
        "<code>android-replay export</code>.</p></body></html>\n"
    )  # fmt: skip


def _row(row: Row, folder: str) -> str:
    attempt = row.attempt
    outcome = attempt.outcome or "unknown"
    look = "bad" if outcome in BAD else "good" if outcome == "passed" else "quiet"
    sessions = "<br>".join(str(session.session_id) for session in row.sessions) or '<span class="quiet">none</span>'
    devices = "<br>".join(escape(device) for device in dict.fromkeys(session.device_id for session in row.sessions))
    phones = ", ".join(dict.fromkeys(session.serial for session in row.sessions)) or attempt.serial or ""
    if row.replay:
        replay = (
            f'<a href="{escape(quote(row.replay))}">{escape(row.replay)}</a><br>'
            f"<code>android-replay view {escape(shlex.quote(f'{folder}/{row.replay}'))}</code>"
        )
    else:
        replay = f'<span class="quiet">{escape(row.why)}</span>'
    told = f'<br><span class="quiet">{escape(attempt.message)}</span>' if attempt.message else ""
    return (
        f'<tr><td><code>{escape(attempt.case.title)}</code>{told}</td><td class="number">{attempt.number}</td>'
        f'<td class="{look}">{outcome}</td><td class="number">{seconds(attempt)}</td>'
        f'<td class="id"><code>{sessions}</code></td><td><code>{devices}</code></td>'
        f"<td>{escape(phones)}</td><td>{replay}</td></tr>"
    )
