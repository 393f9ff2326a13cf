"""A tiny model, and conversations over it: what labels are made from, in milliseconds."""

import json

import tiny

from anima.features import corpus, passages
from anima.features.passages import Pieces, Source, reading

TALKS = (
    ("Do you like the sea? I swim.", "Yes, the sea is blue."),
    ("See you at 5:30.", "See you later, then!"),
    ("I see the sea again", "The blue sea of glass."),
)


def corpus_file(folder, talks=TALKS):
    path = folder / "talks.jsonl"
    path.write_text("".join(json.dumps(list(talk)) + "\n" for talk in talks), encoding="utf-8")
    return path


def pieces(loaded, folder, talks=TALKS) -> Pieces:
    source = corpus.read_text(corpus_file(folder, talks))
    return passages.pieces_of(source, loaded.tokenizer, tiny.chat_format(), ())


def source(loaded, folder, layer=1, talks=TALKS) -> Source:
    return reading(loaded.trunk, layer, pieces(loaded, folder, talks))
