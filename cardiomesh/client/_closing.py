"""What has to be closed is closed at the end of its ``with``."""

from __future__ import annotations

from types import TracebackType
from typing import Self

__all__ = ["AsyncCloses", "Closes"]


class Closes:
    """For what blocks."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCloses:
    """For asyncio."""

    async def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
