"""Logistic regression over rows of labelled texts; convex, so the same texts give the same weights.

It knows rows and labels, and neither texts nor models.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from anima.errors import SteeringError

_STEPS = 100


def labels_of(texts: Mapping[str, Sequence[object]]) -> list[int]:
    """The number of each text's label, in the order of the texts; raises SteeringError."""
    if len(texts) < 2 or not all(texts.values()):
        raise SteeringError("A classifier needs texts of at least two kinds.")
    return [index for index, name in enumerate(texts) for _ in texts[name]]


def fitted(
    rows: Sequence[Tensor], wanted: Sequence[int], *, penalty: float
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression of rows `[n, f]`: weights `[labels, f]` and bias `[labels]`.

    The loss is the mean over labels of each label's mean; `penalty` multiplies the squared weights.
    """
    x, y = torch.stack(list(rows)), torch.tensor(list(wanted))
    counts = torch.bincount(y).float()
    share = 1 / (len(counts) * counts[y])
    weights = torch.zeros(len(counts), x.shape[1], requires_grad=True)
    bias = torch.zeros(len(counts), requires_grad=True)
    fit = torch.optim.LBFGS(
        [weights, bias], max_iter=_STEPS, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        fit.zero_grad()
        scores = x @ weights.T + bias
        costs = torch.nn.functional.cross_entropy(scores, y, reduction="none")
        total: Tensor = (share * costs).sum() + penalty * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        fit.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach(), bias.detach()
