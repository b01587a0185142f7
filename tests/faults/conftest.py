"""One bench for all tests of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.bench import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A mesh of these tests' own, to be maltreated."""
    with Bench(tmp_path_factory.mktemp("bench")) as made:
        yield made
