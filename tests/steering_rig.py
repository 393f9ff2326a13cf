"""Pushes on an SAE that is known: what the tests of steering share."""

import planted
import torch

from anima.steering.preparing import ready
from anima.steering.push import Push

NORM = 6.0
WIDTH = 32


def planted_sae(architecture="jumprelu"):
    return planted.planted(architecture, features=24, threshold=0.01)


def row(index, seed=0):
    return planted.directions(24, WIDTH, seed=seed)[index]


def stream(seed=0, rows=5):
    return torch.randn(2, rows, WIDTH, generator=torch.Generator().manual_seed(seed))


def state(*pushes, sae=None, **options):
    return ready(pushes, norm=NORM, width=WIDTH, sae=sae or planted_sae(), **options)


def push(operation, strength, feature=3, **options):
    return Push(operation=operation, strength=strength, feature=feature, **options)


def generator():
    return torch.Generator().manual_seed(9)
