import html.parser
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from anima.persona.transcript import Said, Transcript
from anima.terminal import export

EVIL = "<script>alert('x')</script>\x1b[31m\u202e & \"quotes\" %body%"


def transcript(*said: Said, name: str | None = None) -> Transcript:
    return Transcript(
        persona="ada",
        session="20261122-015303-0000",
        name=name,
        started=datetime(2026, 11, 22, 1, 53, tzinfo=UTC),
        said=said,
    )


HELLO = Said(turn=1, text="Hello,\nyou", reply="Good day.\n", model="smollm2", finish="end")
CUT = Said(turn=2, text="And?", reply="```python\nprint(1)", finish="stopped", system="Be brief.")
UNDONE = Said(turn=2, text="Never mind", reply="Well", undone=True)


class Page(html.parser.HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_shows_each_turn_by_its_number() -> None:
    text = export.as_text(transcript(HELLO, UNDONE, CUT, name="morning"))
    headline, *rest = text.split("\n\n")
    assert headline.startswith("20261122-015303-0000 “morning” · ada · smollm2 · 2026-11-2")
    assert headline.endswith(" · 2 turns")
    assert rest == [
        "1> Hello,\n   you",
        "Good day.",
        "System: Be brief.",
        "2> And?",
        "```python\nprint(1)",
        "[stopped here]\n",
    ]


def test_a_system_text_is_said_where_it_changes() -> None:
    turns = [replace(HELLO, turn=n, system=text) for n, text in enumerate(("a", "a", None, "b"), 1)]
    text = export.as_text(transcript(*turns))
    assert [line for line in text.split("\n") if "System" in line] == [
        "System: a",
        "System: none",
        "System: b",
    ]


def test_markdown_quotes_what_was_typed_and_closes_code_that_was_cut_off() -> None:
    text = export.as_markdown(transcript(HELLO, UNDONE, CUT))
    assert text.startswith("# Hello, you\n\n20261122")
    assert "\n\n> Hello,\n> you\n\nGood day.\n\n---\n\n" in text
    assert text.endswith("> And?\n\n```python\nprint(1)\n```\n\n*(stopped here)*\n")
    assert "Never mind" not in text


@pytest.mark.parametrize(
    ("reply", "closing"),
    [
        ("```\na\n```", ""),
        ("```\na", "```"),
        ("~~~~\n```\na", "~~~~"),
        ("````\n```\n````\nb", ""),
        ("a ``` b", ""),
        ("``` a ``` b", ""),
        ("```\na\n``` b", "```"),
        ("  ```\n  a\n  ```", ""),
    ],
)
def test_only_code_that_is_open_is_closed(reply: str, closing: str) -> None:
    text = export.as_markdown(transcript(replace(HELLO, reply=reply)))
    assert text.endswith(reply + (f"\n{closing}" if closing else "") + "\n")


def test_json_has_every_figure_and_the_undone_only_on_demand() -> None:
    found = json.loads(export.export(transcript(HELLO, UNDONE, name="morning"), "json"))
    assert (found["name"], found["started"]) == ("morning", "2026-11-22T01:53:00+00:00")
    (turn,) = found["turns"]
    assert (turn["text"], turn["reply"], turn["undone"]) == ("Hello,\nyou", "Good day.\n", False)
    everything = json.loads(export.export(transcript(HELLO, UNDONE), "json", undone=True))
    assert [turn["undone"] for turn in everything["turns"]] == [False, True]


def test_html_needs_nothing_else_and_nothing_said_is_markup() -> None:
    evil = replace(HELLO, text=EVIL, reply=f"```\n{EVIL}\n```\n{EVIL}", system=EVIL)
    page = export.as_html(transcript(evil, CUT, UNDONE, name="<b>&"))
    found = Page(page)
    assert set(found.tags) == {
        "html", "head", "meta", "title", "style", "body", "h1", "p", "section", "div", "pre", "code",
    }  # fmt: skip
    assert found.text.count("<script>alert('x')</script>[31m & \"quotes\" %body%") == 4
    assert "http:" not in page
    assert "https:" not in page
    assert "prefers-color-scheme: dark" in page
    assert "Never mind" not in found.text


def test_html_keeps_code_apart_from_what_is_around_it() -> None:
    reply = "Before\n```python\na < b\n\n  c\n```\nAfter"
    page = export.as_html(transcript(replace(HELLO, reply=reply)))
    assert "<p>Before</p><pre><code>a &lt; b\n\n  c</code></pre><p>After</p>" in page


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_no_control_character_comes_out_and_an_empty_session_is_no_error(form: str) -> None:
    for found in (transcript(), transcript(replace(HELLO, text=EVIL, reply=EVIL))):
        text = export.export(found, form)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert text.endswith("\n")


def test_a_mode_is_said_where_it_changes_and_where_it_ends() -> None:
    modes = (None, "dream", "dream", "dream → off", None, "off → system")
    said = [replace(HELLO, turn=n, mode=mode) for n, mode in enumerate(modes, 1)]
    text = export.as_text(transcript(*said))
    assert [line for line in text.split("\n") if "Mode" in line or "> " in line] == [
        "1> Hello,", "Mode: dream", "2> Hello,", "3> Hello,", "Mode: dream → off", "4> Hello,",
        "5> Hello,", "Mode: off → system", "6> Hello,",
    ]  # fmt: skip
    assert "\n\nMode: dream\n\n> Hello" in export.as_markdown(transcript(*said))
    assert '<p class="system">Mode: dream → off</p>' in export.as_html(transcript(*said))
    turns = export.as_json(transcript(replace(HELLO, mode="dream", share=0.08)))["turns"]
    assert (turns[0]["mode"], turns[0]["share"]) == ("dream", 0.08)
