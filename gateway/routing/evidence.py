"""Evidence that a mean is above a bound, looked at after every value, for as long as a trial runs.

A fixed-size test that is looked at again and again rejects what is good sooner or later. This is an e-detector (Shin,
Ramdas & Rinaldo, *E-detectors: a nonparametric framework for sequential change detection*, NEJSDS 2024) made of bets on
bounded values (Waudby-Smith & Ramdas, *Estimating means of bounded random variables by betting*, JRSS-B 2024): each
value multiplies a wealth that cannot grow in the mean while the mean is at or below the bound, and that never falls
below one, so that a version which becomes bad late is found, too. While all is well, the wealth reaches ``limit`` once
in ``limit`` values in the mean, or more seldom, whatever the values' distribution.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Evidence"]

#: Shares of the wealth that are staked: a mixture, because nobody knows beforehand how bad a bad version is.
_STAKES: Final = (0.05, 0.2, 0.5, 0.8)


class Evidence:
    """About values between 0 and 1 whose mean should be at most ``bound``."""

    def __init__(self, name: str, bound: float, limit: float) -> None:
        self.name = name
        self.bound = bound
        self.limit = limit
        self.seen = 0
        self._total = 0.0
        self._wealth = [1.0] * len(_STAKES)

    def add(self, value: float, bound: float | None = None) -> None:
        """One more value; a ``bound`` of its own must have been fixed before the value was known."""
        self.bound = self.bound if bound is None else bound
        self.seen += 1
        self._total += value
        gain = value / self.bound - 1.0
        # Beyond the limit nothing more is to be shown, and a float must not overflow.
        self._wealth = [
            min(max(wealth, 1.0) * (1.0 + stake * gain), 1e3 * self.limit)
            for wealth, stake in zip(self._wealth, _STAKES, strict=True)
        ]

    @property
    def value(self) -> float:
        """The wealth."""
        return sum(self._wealth) / len(self._wealth)

    @property
    def mean(self) -> float:
        """Of the values seen."""
        return self._total / self.seen if self.seen else 0.0

    @property
    def decided(self) -> bool:
        """Whether the bound is exceeded, as far as anybody can tell."""
        return self.value >= self.limit
