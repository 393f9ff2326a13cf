"""Whether an SAE understands the model it is put on: its figures on a few lines of text.

Run once at the start of a chat. An SAE of another model, layer, scale or token position still
gives numbers; their variance explained and their count tell. Knows a trunk, an SAE and tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from anima.context import ChatFormat, Context, Encoder, Segment, Tokens
from anima.features.corpus import CONTENT
from anima.features.fidelity import fidelity
from anima.features.sae import Sae, check_fits
from anima.trunk.interface import Trunk

WORST_FVU = 0.4
WORST_RATIO = 3.0
"""Bounds of SYSTEM section 5, this project's own choice: no published ones exist."""

_LINES = (
    ("How was your weekend? Mine was quiet, I read and slept a lot.",
     "That sounds restful. I like weekends without plans. What did you read?"),
    ("A book about the history of bridges. Do you know why arches hold so much weight?",
     "An arch carries its load down along the curve into the ground, so the stones press "
     "against each other and none of them has to bend."),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sanity:
    """What the first look showed; `why` says in words what is wrong where it is not sane."""

    l0: float
    fvu: float
    tokens: int
    sane: bool
    why: str = ""


def probe(encoder: Encoder, format: ChatFormat, prefix: Sequence[Segment] = ()) -> Tokens:
    """A short conversation as the chat would send it."""
    context = Context.begin(encoder, format, prefix)
    for asked, reply in _LINES:
        context = context.ask([Segment(role="user", text=asked)]).reply(encoder.encode(reply))
    return context.tokens()


def check(sae: Sae, trunk: Trunk, tokens: Tokens) -> Sanity:
    """Read the tokens' stream at the SAE's layer and judge L0 and FVU on its content tokens.

    Raises FeatureError where the SAE cannot belong to this model at all (width, layer).
    """
    info = trunk.info
    check_fits(sae, model=info.model, width=info.width, layers=info.layers)
    ids = torch.tensor([tokens.ids])
    h = trunk.forward(ids, trunk.cache(), reads=(sae.layer,)).reads[sae.layer][0]
    content = torch.tensor([role in CONTENT for role in tokens.roles], device=h.device)
    found = fidelity(sae, [h[content]])
    why = _wrong(sae, found.l0, found.fvu)
    return Sanity(l0=found.l0, fvu=found.fvu, tokens=found.tokens, sane=not why, why=why)


def _wrong(sae: Sae, l0: float, fvu: float) -> str:
    wrong = []
    if not fvu <= WORST_FVU:  # so that a NaN is wrong too
        wrong.append(f"it leaves {fvu:.0%} of the variance unexplained (at most {WORST_FVU:.0%})")
    if sae.l0 and not sae.l0 / WORST_RATIO <= l0 <= sae.l0 * WORST_RATIO:
        wrong.append(f"{l0:.0f} features are active on a token where {sae.l0:.0f} should be")
    if not wrong:
        return ""
    return (
        f"The SAE {sae.name} does not fit this model: {' and '.join(wrong)}. Features are shown "
        "and nothing is steered by them."
    )
