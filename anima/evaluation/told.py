"""Facts that somebody tells, each with its question: generated from a seed; knows no model.

A fact belongs to one half: `tune` to choose a strength, `report` for the figures. The halves share
neither persons nor values. No model can know a fact that it was not told.
"""

import random
from dataclasses import dataclass
from itertools import product

from anima.evaluation.material import Half


@dataclass(frozen=True, kw_only=True)
class Told:
    """One fact as a person tells it, the question for it, the answer, and how an answer begins."""

    text: str
    question: str
    answer: str
    start: str


_PERSONS = {
    "tune": (
        "sister", "neighbour", "teacher", "uncle", "landlord", "dentist", "cousin", "boss",
        "piano teacher", "grandfather", "niece", "flatmate",
    ),
    "report": (
        "brother", "aunt", "doctor", "best friend", "colleague", "grandmother", "nephew", "lawyer",
        "swimming coach", "father", "godmother", "stepson",
    ),
}  # fmt: skip

_KINDS = (
    (
        "My {who} is called {it}.", "What is my {who} called?", "Your {who} is called",
        ("Mara", "Tobias", "Ilse", "Ravi", "Noor", "Petra", "Gideon", "Lucia", "Anselm", "Yuki",
         "Bram", "Odette", "Sven", "Amara", "Felix", "Hana", "Dario", "Greta", "Omar", "Tess",
         "Viktor", "Nadia", "Hugo", "Leila"),
    ),
    (
        "My {who} lives in {it}.", "Where does my {who} live?", "Your {who} lives in",
        ("Oslo", "Lisbon", "Kyoto", "Bergen", "Porto", "Tallinn", "Cusco", "Dakar", "Ghent",
         "Split", "Hobart", "Riga", "Turin", "Quito", "Graz", "Malmo", "Osaka", "Bristol", "Krakow",
         "Nantes", "Utrecht", "Boise", "Perth", "Leeds"),
    ),
    (
        "My {who} works as a {it}.", "What does my {who} work as?", "Your {who} works as a",
        ("baker", "surgeon", "carpenter", "pilot", "librarian", "plumber", "florist", "butcher",
         "painter", "sailor", "tailor", "geologist", "barber", "violinist", "gardener", "translator",
         "beekeeper", "jeweller", "welder", "midwife", "chemist", "locksmith", "judge", "diver"),
    ),
    (
        "The pet of my {who} is a {it}.", "What is the pet of my {who}?",
        "The pet of your {who} is a",
        ("parrot", "tortoise", "ferret", "hamster", "goldfish", "rabbit", "gecko", "pony",
         "canary", "snake", "goat", "hedgehog", "spaniel", "chameleon", "guinea pig", "crow",
         "donkey", "lizard", "poodle", "duck", "budgie", "beagle", "frog", "chinchilla"),
    ),
    (
        "My {who} plays the {it}.", "Which instrument does my {who} play?",
        "Your {who} plays the",
        ("cello", "harp", "trumpet", "banjo", "flute", "accordion", "oboe", "guitar", "piano",
         "clarinet", "mandolin", "tuba", "violin", "drums", "saxophone", "organ", "bassoon",
         "ukulele", "trombone", "lute", "viola", "bagpipes", "harmonica", "recorder"),
    ),
    (
        "The favourite food of my {who} is {it}.", "What is the favourite food of my {who}?",
        "The favourite food of your {who} is",
        ("lentils", "mango", "herring", "pancakes", "gnocchi", "papaya", "couscous", "trout",
         "dumplings", "cheesecake", "asparagus", "goulash", "sushi", "pumpkin", "falafel",
         "risotto", "oysters", "porridge", "curry", "waffles", "mushrooms", "plums", "chili",
         "spinach"),
    ),
)  # fmt: skip


def facts(half: Half, seed: int = 0) -> list[Told]:
    """72 facts of a half, 12 persons with 6 facts each, every value once; shuffled by the seed."""
    chance = random.Random(f"{half} {seed}")
    values = [chance.sample(kind[3][half == "report" :: 2], 12) for kind in _KINDS]
    made = []
    for number, (person, kind) in enumerate(product(_PERSONS[half], range(len(_KINDS)))):
        text, question, start, _ = _KINDS[kind]
        value = values[kind][number // len(_KINDS)]
        made.append(
            Told(
                text=text.format(who=person, it=value),
                question=question.format(who=person),
                answer=value,
                start=start.format(who=person),
            )
        )
    chance.shuffle(made)
    return made
