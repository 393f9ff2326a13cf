import threading

from anima.trunk.fast_crew import Crew, crew


def test_every_thread_runs_the_function_with_its_number_and_the_callers_arguments():
    all_there = threading.Barrier(3)
    seen = []

    def meet(number, word):
        seen.append((number, word))
        all_there.wait(10)

    Crew(3)(meet, "hello")
    assert sorted(seen) == [(0, "hello"), (1, "hello"), (2, "hello")]


def test_a_crew_is_made_once_for_a_number_of_threads():
    assert crew(2) is crew(2)
    assert crew(1).pieces == 1
