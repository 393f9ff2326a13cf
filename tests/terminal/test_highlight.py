import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.terminal.highlight import LONGEST_LINE, Highlighter
from anima.terminal.ink import BOLD, CYAN, DIM, GREEN, ITALIC, Span, both

COMMENT = both(DIM, ITALIC)


def colored(language: str, code: str) -> list[list[tuple[str, str]]]:
    """Per line the texts that have a style."""
    highlighter = Highlighter(language)
    return [
        [(span.text, span.style) for span in highlighter.line(line) if span.style]
        for line in code.split("\n")
    ]


def test_a_line_is_coloured_by_what_it_means() -> None:
    assert colored("python", "def f(x): return 1.5  # why") == [
        [("def", BOLD), ("f", BOLD), ("return", BOLD), ("1.5", CYAN), ("# why", COMMENT)]
    ]


@pytest.mark.parametrize(
    ("language", "code", "style"),
    [
        ("python", 'x = """one\nif two\n"""', GREEN),
        ("c", "/* one\nif two\n*/", COMMENT),
        ("js", "`one\nif two\n`", GREEN),
        ("rust", "/* one\nif two\n*/", COMMENT),
        ("php", "<?php /* one\nif two\n*/", COMMENT),
        ("java", "/** one\nif two\n*/", COMMENT),
        ("go", "/* one\nif two\n*/", COMMENT),
        ("go", "x := `one\nif two\n`", GREEN),
        ("css", "/* one\nif two\n*/", COMMENT),
        ("ts", "/** one\nif two\n*/", COMMENT),
        ("html", "<!-- one\nif two\n-->", COMMENT),
        ("sql", "/* one\nif two\n*/", COMMENT),
    ],
)
def test_what_began_on_an_earlier_line_goes_on(language: str, code: str, style: str) -> None:
    assert colored(language, code)[1] == [("if two", style)]
    assert colored(language, "if two") != [[("if two", style)]]


@pytest.mark.parametrize("language", ["java", "php", "html", "python", "go"])
def test_what_is_not_open_ends_with_its_line(language: str) -> None:
    assert colored(language, "/* a */ // b\nx") == [*colored(language, "/* a */ // b"), []]


def test_a_long_string_is_still_one_after_a_thousand_lines() -> None:
    code = 'x = """\n' + "if a line of it\n" * 1000 + '"""\nif'
    *_, last_inside, end, after = colored("python", code)
    assert (last_inside, end, after) == (
        [("if a line of it", GREEN)],
        [('"""', GREEN)],
        [("if", BOLD)],
    )


@settings(deadline=None)
@given(
    st.sampled_from(("python", "json", "php", "c", "html", "bash", "yaml", "diff", "none")),
    st.lists(
        st.one_of(
            st.sampled_from(('"""', "'", "/*", "<a b='", "{", "```")), st.text("ab \t=#\"'{:<>/")
        )
    ),
)
def test_no_character_is_lost_or_moved(language: str, lines: list[str]) -> None:
    highlighter = Highlighter(language)
    for line in lines:
        assert "".join(span.text for span in highlighter.line(line)) == line


@pytest.mark.parametrize("language", ["", "no-such-language", "text"])
def test_without_a_known_language_code_is_plain(language: str) -> None:
    assert Highlighter(language).line("if x: 1") == [Span("if x: 1")]


def test_a_line_too_long_to_look_through_is_plain() -> None:
    assert Highlighter("python").line("1" * (LONGEST_LINE + 1)) == [Span("1" * (LONGEST_LINE + 1))]
