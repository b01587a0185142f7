"""Kleene's tables, written out."""

from __future__ import annotations

import itertools

import pytest

from cardiomesh.rules.logic import State, all_of, at_least, negated

T, F, U = State.MET, State.NOT_MET, State.NOT_EVALUABLE


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (T, T, T, T),
        (T, F, F, T),
        (T, U, U, T),
        (F, F, F, F),
        (F, U, F, U),
        (U, U, U, U),
    ],
)
def test_and_and_or(a: State, b: State, both: State, either: State) -> None:
    for pair in ((a, b), (b, a)):
        assert all_of(pair) is both
        assert at_least(1, pair) is either


def test_not() -> None:
    assert [negated(state) for state in (T, F, U)] == [F, T, U]


def test_counting_agrees_with_every_way_the_unknown_could_be() -> None:
    for states in itertools.product((T, F, U), repeat=4):
        for count in range(1, 5):
            worlds = itertools.product(*(((T, F) if state is U else (state,)) for state in states))
            answers = {world.count(T) >= count for world in worlds}
            expected = U if len(answers) == 2 else T if True in answers else F
            assert at_least(count, states) is expected
