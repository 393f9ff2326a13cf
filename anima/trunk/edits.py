"""Whether the residual stream can be changed by compiled code; imports none itself."""

import sys
from collections.abc import Callable


def compiled_edit() -> Callable[..., None] | None:
    """`fast_edits.edited` where a model of this process is compiled (`fast_loading`), else None."""
    module = sys.modules.get("anima.trunk.fast_edits")
    return None if module is None else module.edited
