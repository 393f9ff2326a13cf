import io
import re
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anima.terminal.markdown import ASCII, LONGEST_HELD, LONGEST_TABLE, UNICODE, MarkdownStream
from anima.terminal.markdown_inline import LIMIT
from anima.terminal.screen import Screen, shown
from anima.terminal.wrapping import cells
from tests.terminal.reading import plain, runs, styled
from tests.terminal.scripted import Terminal

BOLD, DIM, ITALIC, UNDERLINE, GREEN, CYAN = "1", "2", "3", "4", "32", "36"

FRAGMENTS = (
    *("# ", "## ", "- ", "* ", "+ ", "1. ", "12) ", "> ", ">", "```", "```py\n", "~~~", "---"),
    *("`", "``", "*", "**", "***", "_", "__", "[", "](", "](http://u.v/x_y)", ")", "![", "!"),
    *("| a | b |\n", "|---|:-:|\n", "| `x|y` | **b** |\n", "|", "[ ] ", "[x] ", "- - -\n", "="),
    *("\n", "\n\n", "\r\n", " ", "  ", "    ", "\t", "word", "some longer words ", "don't", "a_b"),
    *("中文", "字。", "「", "🍅", "👩\u200d👩", "é", "e\u0301", "\u200d", "שלום", "http://a.b/_c_"),
    *("\\", "\\*", "<b>", "&amp;", "\x1b[31m", "\x07", "x" * 30, "y" * (LIMIT - 2), "2*3"),
    *("def f(x):\n", "'''", '"""', "/*", "*/", "# c\n", "1", ".", ":", "("),
)
MARKDOWN = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
TEXTS = st.one_of(MARKDOWN, MARKDOWN, st.text(max_size=60))
CUTS = st.lists(st.integers(1, 12), min_size=1, max_size=20)
WIDTHS = st.sampled_from((1, 7, 20, 40, 80, 120))
MARKERS = set("*_`#>-+~|:[]()!\\•│─╭╰")


def rendered(*pieces: str, width: int = 80, color: bool = True) -> str:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: width, color=color)
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return "".join(written)


def pieces(text: str, cuts: Sequence[int]) -> list[str]:
    found, at = [], 0
    while at < len(text):
        length = cuts[len(found) % len(cuts)]
        found.append(text[at : at + length])
        at += length
    return found


def content(text: str) -> list[str]:
    return [c for c in text if c not in MARKERS and not c.isspace()]


@settings(max_examples=200, deadline=None)
@given(TEXTS, CUTS, WIDTHS)
def test_how_a_text_was_split_changes_neither_its_characters_nor_their_styles(
    text: str, cuts: list[int], width: int
) -> None:
    expected = styled(rendered(text, width=width))
    assert styled(rendered(*pieces(text, cuts), width=width)) == expected
    assert styled(rendered(*text, width=width)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a **b** *c* ***d*** __e__ _f_ `g` ``h` i`` `a`` b` \\* \\\\ \\",
        "**a *b* `c**` d** ***e* f** *g **h*** **i*",
        "[a](b) [c](<d)e>) [f](g 'h') ![i](j) [k] [l](m n) [[o]](p) Hello!",
        "http://a.b/c_d *e* http://a.b/_f_ **g** http://a.b/*h*i* j*k*",
        "# A\n#b\n####### c\n## \n- a\n-b\n--\n- - -\n***\n* * a\n**b**\n+ c\n1. d\n2.e\n3",
        "- [ ] a\n- [x]b\n- [x](c)\n* [X]  d\n> > e\n>f\n>\n> - g\n\n    h\n    *i*\n\n- j\n\n    *k*",
        "```py\nx = 1\n``\n````\n~~~ a\n```\n~~~\n```a``` b\n``c``\n> ```\n> d\ne",
        "| a | b |\n|:-|-:|\n| `c|d` |\n\n|e|\nf\n  |g|\n  |-|\n|h|",
        "long words of prose begin before the edge and characteristically go on behind it, over it",
        "中文段落没有空格所以必须换行,and English中文also。a中,b「中」(中)👩\u200d👩e\u0301 中文段落",
    ],
)
def test_no_cut_changes_anything(text: str) -> None:
    for width in (20, 50):
        expected = styled(rendered(text, width=width))
        for cut in range(1, len(text)):
            assert styled(rendered(text[:cut], text[cut:], width=width)) == expected
        assert styled(rendered(*text, width=width)) == expected


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("**{}**\n", LIMIT),
        ("`{}` **b**\n", LIMIT),
        ("[{}](b)\n", LIMIT),
        ("--{}\n", LIMIT),
        ("```{}\na\n```\n", LIMIT),
        ("{}# a\n", LIMIT),
        ("```\n{}\n*b*\n```\n*c*\n", LONGEST_HELD),
        ("| a |\n|---|\n|{}|\n| *b* |\n", LONGEST_HELD),
    ],
)
def test_where_patience_ends_does_not_depend_on_the_cuts(text: str, limit: int) -> None:
    filling = {"--": "-", "{}": " "}.get(text[:2], "x")
    start = text.rfind("\n", 0, text.index("{}")) + 1
    for length in range(limit - 6, limit + 3):
        long = text.format(filling * length)
        expected = styled(rendered(long))
        for cut in (5, *range(start + limit - 1, start + limit + 2)):
            assert styled(rendered(long[:cut], long[cut:])) == expected


@settings(max_examples=300, deadline=None)
@given(TEXTS, WIDTHS)
def test_nothing_but_markers_is_lost_and_nothing_is_said_twice(text: str, width: int) -> None:
    given_, shown_ = content(shown(text)), content(plain(rendered(text, width=width)))
    if "|--" in text:  # the cells of a table stand side by side, its heads perhaps at each row
        assert Counter(given_) <= Counter(shown_)
    else:
        assert given_ == shown_


@settings(deadline=None)
@given(TEXTS, CUTS)
def test_nothing_moves_the_cursor_and_every_style_ends_in_the_piece_that_began_it(
    text: str, cuts: list[int]
) -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 40, color=True)
    for piece in pieces(text, cuts):
        stream.feed(piece)
    stream.finish()
    for output in written:
        assert re.fullmatch(r"(?:[^\x00-\x08\x0b-\x1f\x7f-\x9f]|\x1b\[[\d;]*m)*", output)
        assert not output.count("\x1b") or output.rfind("\x1b[0m") == output.rfind("\x1b")


@given(TEXTS, CUTS)
def test_without_colour_the_text_passes_as_it_is_but_for_control_characters(
    text: str, cuts: list[int]
) -> None:
    assert rendered(*pieces(text, cuts), color=False) == shown(text)


def in_a_window(*pieces: str, width: int = 30) -> str:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: width, color=False, windowed=True)
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return "".join(written)


def test_in_a_window_without_colour_prose_is_broken_at_words_and_code_is_not() -> None:
    prose = "**The quick** brown fox jumps over the lazy dog."
    code = "print('the quick brown fox jumps over the lazy dog')"
    assert in_a_window(f"{prose}\n```py\n{code}\n```\n{prose}") == (
        "**The quick** brown fox jumps\nover the lazy dog.\n"
        f"```py\n{code}\n```\n"
        "**The quick** brown fox jumps\nover the lazy dog."
    )


@given(TEXTS, CUTS, WIDTHS)
def test_in_a_window_without_colour_nothing_but_space_is_lost_however_it_was_split(
    text: str, cuts: list[int], width: int
) -> None:
    expected = in_a_window(text, width=width)
    assert in_a_window(*pieces(text, cuts), width=width) == expected
    assert "".join(expected.split()) == "".join(shown(text).split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a **b** c", [("a ", ""), ("b", BOLD), (" c", "")]),
        ("a *b* c", [("a ", ""), ("b", ITALIC), (" c", "")]),
        ("a _b_ c", [("a ", ""), ("b", ITALIC), (" c", "")]),
        ("***b***", [("b", f"{BOLD};{ITALIC}")]),
        ("**a *b* c**", [("a ", BOLD), ("b", f"{BOLD};{ITALIC}"), (" c", BOLD)]),
        ("**a *b***", [("a ", BOLD), ("b", f"{BOLD};{ITALIC}")]),
        ("*a **b***", [("a ", ITALIC), ("b", f"{ITALIC};{BOLD}")]),
        ("*a **b*", [("a **b", ITALIC)]),
        ("**`a**b`**", [("a**b", f"{BOLD};{CYAN}")]),
        ("a `b` c", [("a ", ""), ("b", CYAN), (" c", "")]),
        ("`` a`b ``", [("a`b", CYAN)]),
        ("`a\\`", [("a\\", CYAN)]),
        ("[a](http://b)", [("a", UNDERLINE), (" (http://b)", DIM)]),
        ("[a `b`](http://c 'd')", [*zip(["a ", "b", " (http://c 'd')"], [UNDERLINE, f"{UNDERLINE};{CYAN}", DIM], strict=True)]),
        ("[a](http://b/c_(d))", [("a", UNDERLINE), (" (http://b/c_(d))", DIM)]),
        ("![a](b.png)", [("a", UNDERLINE), (" (b.png)", DIM)]),
        ("[http://b](http://b)", [("http://b", UNDERLINE)]),
        ("**重点!**内容", [("重点!", BOLD), ("内容", "")]),
        ("**Note:**text", [("Note:", BOLD), ("text", "")]),
        (r"\*a\* \_b\_ \`c\`", [("*a* _b_ `c`", "")]),
    ],
)  # fmt: skip
def test_constructs_in_a_line(text: str, expected: list[tuple[str, str]]) -> None:
    assert runs(rendered(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 and 2 * 3 * 4 and 2**3**4",
        "snake_case_name, __init__ and _ alone",
        "f(*args, **kwargs), f(*a) and f(**b)",
        "https://example.org/_foo_/*bar*/ stays",
        r"\(x\) and \[y\] and \\ and C:\Users\me",
        "an **open one, `another, [a third and *",
        "array[0](see below",
        "[a] [b][c] [d]: e [](f g)",
        "** spaced ** and * this *",
        "~~struck~~ and <b>tag</b> &amp; [bold]rich[/bold]",
        "#hashtag",
        "2024 was a year; 1.5 and 3)x",
        "+5 and -3",
    ],
)
def test_what_is_no_construct_stays_as_it_stands(text: str) -> None:
    assert runs(rendered(text)) == [(text, "")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A *b*", [("A ", "1;4"), ("b", "1;4;3")]),
        ("## A", [("A", BOLD)]),
        ("###### A", [("A", "1;3")]),
        ("- a", [("•", BOLD), (" a", "")]),
        ("* a", [("•", BOLD), (" a", "")]),
        ("  + a", [("  ", ""), ("•", BOLD), (" a", "")]),
        ("12. a", [("12.", BOLD), (" a", "")]),
        ("- [ ] a", [("•", BOLD), (" [ ] a", "")]),
        ("- [x] a", [("•", BOLD), (" ", ""), ("[x]", GREEN), (" a", "")]),
        ("- [x](http://y)", [("•", BOLD), (" ", ""), ("x", UNDERLINE), (" (http://y)", DIM)]),
        ("> a", [("│ ", DIM), ("a", "")]),
        ("> > - a", [("│ │ ", DIM), ("•", BOLD), (" a", "")]),
        ("---", [("─" * 40, DIM)]),
        ("* * *", [("─" * 40, DIM)]),
        ("- - a", [("•", BOLD), (" ", ""), ("•", BOLD), (" a", "")]),
        ("```a```", [("a", CYAN)]),
        ("    *a*", [("    *a*", "")]),
        ("- a\n\n    *b*", [("•", BOLD), (" a\n\n    ", ""), ("b", ITALIC)]),
    ],
)
def test_beginnings_of_lines(text: str, expected: list[tuple[str, str]]) -> None:
    assert runs(rendered(text)) == expected


def test_prose_appears_piece_by_piece() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True)
    for piece in ("To", "day", " we", " pla", "nt", ", then"):
        stream.feed(piece)
        assert written.pop() == piece


def test_a_construct_is_kept_back_until_it_closes_or_its_line_ends() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True)

    def fed(piece: str) -> str:
        written.clear()
        stream.feed(piece)
        return "".join(written)

    assert fed("a **bo") == "a"
    assert fed("ld*") == ""
    assert fed("* and") == " \x1b[1mbold\x1b[0m and"
    assert fed(" *this") == ""
    assert fed("\n") == " *this\n"
    assert fed("`" + "x" * (LIMIT - 2)) == ""
    assert fed("x") == "`" + "x" * (LIMIT - 1)


def test_a_heading_and_an_item_are_styled_from_their_beginning() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True)
    for piece in ("#", "# ", "Gr", "owing\n", "1", ". ", "So"):
        stream.feed(piece)
    assert written == ["\x1b[1mGr\x1b[0m", "\x1b[1mowing\x1b[0m\n", "\x1b[1m1.\x1b[0m So"]


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_prose_is_broken_at_words_below_its_own_beginning(width: int) -> None:
    words = "the water runs through the sand and does not stay in there " * 4
    for marker, hang in (("", ""), ("- ", "  "), ("10. ", "    "), ("> ", "│ ")):
        rows = plain(rendered(marker + words, width=width)).split("\n")
        assert all(len(row) <= width for row in rows)
        assert all(row.startswith(hang) for row in rows[1:])
        first, *others = (row[len(hang) :] for row in rows)
        assert " ".join([first, *others]) == words.strip()


def test_the_width_is_asked_for_at_each_row() -> None:
    widths = [30]
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: widths[0], color=True)
    stream.feed("one two three four five six seven")
    widths[0] = 60
    stream.feed(" eight nine ten eleven twelve thirteen fourteen fifteen\n")
    rows = "".join(written).split("\n")
    assert rows[0] == "one two three four five six"
    assert rows[1] == "seven eight nine ten eleven twelve thirteen fourteen fifteen"


def test_wide_characters_break_between_each_other_and_not_before_a_full_stop() -> None:
    rows = rendered("中文段落没有空格所以必须换行。" * 3, width=20).split("\n")
    assert rows[0] == "中文段落没有空格所以"
    assert "".join(rows) == "中文段落没有空格所以必须换行。" * 3
    assert not any(row.startswith("。") for row in rows)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="`~"), max_size=90)))
@example(["  two", "\ttab", "", "x" * (LONGEST_HELD + 1), "*not* emphasis", "é中🍅", "# no"])
def test_code_is_printed_to_the_letter(lines: list[str]) -> None:
    code = [shown(line.replace("\n", "")) for line in lines]
    for language in ("", "python", "json", "c"):
        text = "\n".join([f"```{language}", *code, "```", "after"])
        output = plain(rendered(text, width=20))
        assert output.split("\n") == [f"╭─ {language}".strip(), *code, "╰─", "after"]


def test_the_indentation_that_code_shares_with_its_fence_is_not_part_of_it() -> None:
    text = "1. a\n   ```py\n   if x:\n       y\n\n \t z\n   ```\n2. b\n\t```\n\tw\n\t```"
    assert plain(rendered(text)) == ("1. a\n╭─ py\nif x:\n    y\n\n\t z\n╰─\n2. b\n╭─\nw\n╰─")


def test_only_a_fence_of_the_same_kind_and_length_ends_code() -> None:
    text = "````md\n```py\n~~~~\n```\n  ````\nafter"
    assert plain(rendered(text)) == "╭─ md\n```py\n~~~~\n```\n╰─\nafter"


def test_code_in_a_quote_ends_with_the_quote() -> None:
    assert plain(rendered("> ```\n> a\n> ```\n> b")) == "│ ╭─\n│ a\n│ ╰─\n│ b"
    assert plain(rendered("> ```\n> a\nb **c**")) == "│ ╭─\n│ a\n╰─\nb c"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("```py\nx = 1", "╭─ py\nx = 1\n╰─"),
        ("```py\nx = 1\n", "╭─ py\nx = 1\n╰─"),
        ("```py", "╭─ py\n╰─"),
        ("a **b", "a **b"),
        ("## A", "A"),
        ("- ", "•"),
        ("| a | b", "| a | b\n"),
        ("| a |\n|---|\n| b", "a\n─\nb\n"),
        ("-", "•"),
        ("[x", "[x"),
        ("text\n", "text\n"),
        ("", ""),
    ],
)
def test_what_an_interrupted_reply_left_open_is_closed(text: str, printed: str) -> None:
    output = rendered(text)
    assert "\n".join(row.rstrip() for row in plain(output).split("\n")) == printed
    assert styled(output + "x")[-1] == ("x", "")


def test_the_next_text_knows_nothing_of_the_last() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True)
    for text in ("```py\nx", "# A **b", "| a |\n|---|\n"):
        stream.feed(text)
        stream.finish()
        written.clear()
        stream.feed("*c*")
        stream.finish()
        assert "".join(written) == "\x1b[3mc\x1b[0m"
        written.clear()


def test_a_table_is_held_until_it_is_whole_and_then_aligned() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True)
    stream.feed("| Plant | Height |\n|:--|--:|\n| **Tomato** | 180 cm |\n| 番茄 | 2 `m` |\n")
    assert not written
    stream.feed("a")
    assert plain("".join(written)).split("\n") == [
        "Plant    Height",
        "───────────────",
        "Tomato   180 cm",
        "番茄        2 m",
        "a",
    ]
    assert (GREEN not in "".join(written), f"\x1b[{BOLD}mTomato" in "".join(written)) == (True,) * 2


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_a_table_fits_its_window(width: int) -> None:
    row = "| a cell with several words | another with some more of them | 中文段落没有空格 |\n"
    output = plain(rendered(row + "|---|:-:|--:|\n" + row * 2, width=width))
    assert all(cells(line) <= width for line in output.split("\n"))
    assert Counter(content(row * 3)) <= Counter(content(output))


def test_a_table_too_wide_for_its_window_is_a_list_of_its_cells() -> None:
    table = "| Name | What it needs |\n|---|---|\n| Basil | much warmth and light |\n| Tomato |\n"
    assert plain(rendered(table, width=20)) == (
        "Name: Basil\nWhat it needs: much\n  warmth and light\n\nName: Tomato\n"
    )


def test_rows_without_a_row_of_dashes_are_lines() -> None:
    assert plain(rendered("| a |\n| b |\n\nc")) == "| a |\n| b |\n\nc"
    assert plain(rendered("|x| < **3**")) == "|x| < 3\n"


def test_a_table_without_end_is_not_held_forever() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True)
    stream.feed("| a |\n|---|\n" + "| b |\n" * (LONGEST_TABLE + 5))
    assert plain("".join(written)).count("b") == LONGEST_TABLE + 4  # the last row may yet be a head


def test_windows_line_endings_and_control_characters_leave_no_trace() -> None:
    assert rendered("a\r\n\x1b[2J **b**\x07\r\n") == "a\n[2J \x1b[1mb\x1b[0m\n"


@pytest.mark.parametrize("text", ["x" * 100_000, "word " * 20_000, "> - " * 9_000, "**a [b" * 900])
def test_a_very_long_line_passes(text: str) -> None:
    output = rendered(*pieces(text, [4000]))
    assert content(plain(output)) == content(text)


def test_in_a_terminal_without_unicode_the_markers_are_ascii() -> None:
    written: list[str] = []
    stream = MarkdownStream(written.append, width=lambda: 80, color=True, glyphs=ASCII)
    stream.feed("- a\n> b\n\n---\n```py\nx\n```\n| a | b |\n|---|---|\n| c | d |\n")
    stream.finish()
    assert "".join(written).isascii()
    assert set("".join(UNICODE)) - {" "} == set("•│─╭╰")


def test_a_screen_renders_answers_only_where_it_was_told_to() -> None:
    both, pipe = Terminal(), io.StringIO()
    screen = Screen(both, both, rendered=True)
    screen.answer("a **b")
    screen.answer("** ```c")
    screen.note("note")
    screen.answer("- d")
    screen.end_answer()
    assert both.getvalue() == "a \x1b[1mb\x1b[0m ```c\nnote\n\x1b[1m*\x1b[0m d\n"
    Screen(pipe, both).answer("a **b**")
    assert pipe.getvalue() == "a **b**"
