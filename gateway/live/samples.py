"""The samples that windows may still need, and no others."""

from __future__ import annotations

from collections import deque

import numpy as np

from gateway.live.form import Block

__all__ = ["Tail"]


class _Run:
    """Samples without a gap: a growing array whose front is let go."""

    def __init__(self, first: int, block: Block) -> None:
        self.first = first
        self._data = np.array(block)  # never a view: a chunk must not outlive what is kept of it
        self._offset, self._count = 0, int(block.shape[1])

    @property
    def end(self) -> int:
        return self.first + self._count

    def append(self, block: Block) -> None:
        count = self._count + int(block.shape[1])
        if self._offset + count > self._data.shape[1]:
            grown = np.empty((len(self._data), 2 * count), self._data.dtype)
            grown[:, : self._count] = self._data[:, self._offset : self._offset + self._count]
            self._data, self._offset = grown, 0
        self._data[:, self._offset + self._count : self._offset + count] = block
        self._count = count

    def drop_before(self, sample: int) -> None:
        dropped = min(max(0, sample - self.first), self._count)
        self.first, self._offset, self._count = self.first + dropped, self._offset + dropped, self._count - dropped

    def cut(self, first: int, length: int) -> Block:
        begin = self._offset + first - self.first
        return self._data[:, begin : begin + length].copy()

    def __len__(self) -> int:
        return self._count


class Tail:
    """Runs of samples by their number; whoever appends keeps it within bounds."""

    def __init__(self) -> None:
        self._runs: deque[_Run] = deque()

    def __len__(self) -> int:
        """Samples per lead that are held."""
        return sum(map(len, self._runs))

    def append(self, first: int, block: Block) -> None:
        """Add ``[leads, n]`` samples that come after all that were added."""
        if self._runs and self._runs[-1].end == first:
            self._runs[-1].append(block)
        else:
            self._runs.append(_Run(first, block))

    def drop_before(self, sample: int) -> None:
        """Forget what no window needs any more."""
        for run in self._runs:
            run.drop_before(sample)
        while self._runs and not len(self._runs[0]):
            self._runs.popleft()

    def cut(self, first: int, length: int) -> Block:
        """A copy of ``length`` samples that lie in one run."""
        run = next(run for run in self._runs if run.first <= first and first + length <= run.end)
        return run.cut(first, length)
