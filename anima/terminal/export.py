"""A conversation as plain text, Markdown, JSON or a page of HTML; knows no file and no terminal.

What was said is data: control characters are taken out, and in HTML nothing of it is markup.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from anima.persona.transcript import Said, Transcript
from anima.terminal.screen import json_shown, shortened, shown

_ENDINGS = {
    "stopped": "stopped here",
    "length": "cut off here: the longest reply allowed",
    "context": "cut off here: the context was full",
}
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def as_text(found: Transcript) -> str:
    """For reading in a terminal: what a person typed stands behind the number of its turn."""
    parts = [_headline(found)]
    for said, changes in _with_changes(found.turns):
        parts += [f"{what}: {text}" for what, text in changes]
        label = f"{said.turn}> "
        typed = said.text.replace("\n", "\n" + " " * len(label))
        parts += [label + typed, said.reply.strip("\n"), *_ending(said, "[{}]")]
    return shown("\n\n".join(parts)) + "\n"


def as_markdown(found: Transcript) -> str:
    """For any reader of Markdown: what a person typed is quoted, the reply stands as it was."""
    parts = [f"# {_title(found)}", _headline(found)]
    for said, changes in _with_changes(found.turns):
        parts.append("---")
        for what, text in changes:
            parts.append(f"Mode: {text}" if what == "Mode" else f"System:\n\n{_quoted(text)}")
        reply = _with_closed_fence(said.reply.strip("\n"))
        parts += [_quoted(said.text), reply, *_ending(said, "*({})*")]
    return shown("\n\n".join(parts)) + "\n"


def as_json(found: Transcript, *, undone: bool = False) -> Mapping[str, Any]:
    """For programs; `undone` has the turns in it that were taken back, too."""
    said = found.said if undone else found.turns
    return {
        "session": found.session,
        "name": found.name,
        "persona": found.persona,
        "started": _stamp(found.started),
        "damaged": found.damaged,
        "turns": [{**asdict(each), "started": _stamp(each.started)} for each in said],
    }


def as_html(found: Transcript) -> str:
    """One page that needs nothing else, runs nothing and fetches nothing, in light and in dark."""
    title = _escaped(_title(found))
    body = [f"<h1>{title}</h1>", f'<p class="about">{_escaped(_headline(found))}</p>']
    for said, changes in _with_changes(found.turns):
        for what, text in changes:
            named = f"Mode: {text}" if what == "Mode" else text
            body.append(f'<p class="system">{_escaped(named)}</p>')
        body.append(f'<section id="turn-{said.turn}">')
        body.append(f'<div class="user">{_escaped(said.text)}</div>')
        body.append(f'<div class="reply">{"".join(_blocks(said.reply))}</div>')
        body += [f'<p class="about">{_escaped(each)}</p>' for each in _ending(said, "({})")]
        body.append("</section>")
    return _PAGE.replace("%title%", title).replace("%body%", "\n".join(body))


FORMATS: Mapping[str, Callable[[Transcript], str]] = {
    "md": as_markdown,
    "html": as_html,
    "json": lambda found: _as_json_text(as_json(found)),
}
"""By its suffix, every format that a conversation can be exported in."""


def _as_json_text(value: Mapping[str, Any]) -> str:
    return json_shown(json.dumps(value, ensure_ascii=False, indent=2)) + "\n"


def export(found: Transcript, format: str, *, undone: bool = False) -> str:
    """The conversation in one of `FORMATS`; `undone` counts for JSON."""
    if format == "json":
        return _as_json_text(as_json(found, undone=undone))
    return FORMATS[format](found)


def _title(found: Transcript) -> str:
    first = found.turns[0].text if found.turns else ""
    return found.name or shortened(first) or found.session


def _headline(found: Transcript) -> str:
    models = dict.fromkeys(said.model for said in found.turns if said.model)
    number = len(found.turns)
    parts = [
        found.session + (f" “{found.name}”" if found.name else ""),
        found.persona,
        *models,
        "" if found.started is None else f"{found.started.astimezone():%Y-%m-%d %H:%M}",
        f"{number} turn{'s' * (number != 1)}",
    ]
    return " · ".join(part for part in parts if part)


def _with_changes(turns: Sequence[Said]) -> Iterator[tuple[Said, list[tuple[str, str]]]]:
    """Each turn with what is another than before: the text for the model, and the mode."""
    system: str | None = None
    mode = "off"
    for said in turns:
        changes = [] if said.system == system else [("System", said.system or "none")]
        if (said.mode or "off") != mode:
            changes.append(("Mode", said.mode or "off"))
        yield said, changes
        system, mode = said.system, (said.mode or "off").rpartition(" → ")[2]


def _ending(said: Said, form: str) -> list[str]:
    """What is to be said of a reply that did not end by itself."""
    ending = _ENDINGS.get(said.finish or "end")
    return [] if ending is None else [form.format(ending)]


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _with_closed_fence(text: str) -> str:
    """The text whose code ends with it, so that a reply that was cut off swallows nothing after it."""
    fence = ""
    for line in text.split("\n"):
        fence = _fence_after(fence, line)
    return f"{text}\n{fence}" if fence else text


def _fence_after(fence: str, line: str) -> str:
    """The fence that is open after a line, given the one before; empty where none is."""
    found = _FENCE.fullmatch(line)
    if found is None:
        return fence
    marks, rest = found.groups()
    if not fence:
        return "" if marks[0] == "`" and "`" in rest else marks
    closes = marks[0] == fence[0] and len(marks) >= len(fence) and not rest.strip()
    return "" if closes else fence


def _blocks(text: str) -> Iterator[str]:
    """A reply as HTML: code in its frames, all else as it was written."""
    fence, lines = "", []
    for line in text.strip("\n").split("\n"):
        after = _fence_after(fence, line)
        if after == fence:
            lines.append(line)
            continue
        yield _block(lines, code=bool(fence))
        fence, lines = after, []
    yield _block(lines, code=bool(fence))


def _block(lines: Sequence[str], *, code: bool) -> str:
    text = _escaped("\n".join(lines) if code else "\n".join(lines).strip("\n"))
    if code:
        return f"<pre><code>{text}</code></pre>"
    return f"<p>{text}</p>" if text else ""


def _escaped(text: str) -> str:
    return html.escape(shown(text))


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


_PAGE = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>%title%</title>
<style>
:root { color-scheme: light dark; --text: #1f2328; --page: #ffffff; --quiet: #57606a; --box: #f3f4f6; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --page: #161819; --quiet: #9aa4ad; --box: #24282c; }
}
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; }
section { margin: 2rem 0; }
.user, .reply p, .system { white-space: pre-wrap; }
.user { padding: .6rem .9rem; border-radius: .5rem; background: var(--box); }
.about, .system { color: var(--quiet); font-size: .9rem; }
pre { padding: .6rem .9rem; border-radius: .5rem; background: var(--box); overflow-x: auto; }
code { font: .9rem/1.45 ui-monospace, monospace; overflow-wrap: normal; }
</style>
</head>
<body>
%body%
</body>
</html>
"""
