"""Long pasted texts, shown as a short mark in the input line; knows no screen and no keys."""

import re

LONGEST = 1500
"""Characters of a paste that is shown as it is."""

TALLEST = 12
"""Lines of a paste that is shown as it is."""

_MARK = re.compile(r"\[pasted text \d+: [\d,]+ (?:characters|lines)\]")


class Pastes:
    """Gives a mark for each long text, and the text for each mark."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def short(self, text: str) -> str:
        """The text, or the mark that stands for it where it would fill the screen."""
        lines = text.count("\n") + 1
        if len(text) <= LONGEST and lines <= TALLEST:
            return text
        size = f"{lines:,} lines" if lines > TALLEST else f"{len(text):,} characters"
        mark = f"[pasted text {len(self._texts) + 1}: {size}]"
        self._texts[mark] = text
        return mark

    def whole(self, line: str) -> str:
        """A line with every mark replaced by its text."""
        return _MARK.sub(lambda found: self._texts.get(found.group(), found.group()), line)

    def mark_before(self, line: str) -> str | None:
        """The mark with which a line ends, or None."""
        return next((mark for mark in self._texts if line.endswith(mark)), None)
