"""TCP proxies that a test tells when to be slow, to hold, to lose a connection's other end, or to refuse.

They run on an event loop of their own thread, so that tests with and without asyncio, and the soak, can use them.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from cardiomesh.local.ports import LOOPBACK, address

__all__ = ["Proxies", "Proxy"]

T = TypeVar("T")
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_CHUNK: Final = 65_536
#: Chunks on their way through a slow link, in each direction.
_IN_TRANSIT: Final = 256


class Proxies:
    """A thread whose loop serves proxies; closes them all when the block ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._proxies: list[Proxy] = []

    def to(self, upstream: str | Path, tls: ssl.SSLContext | None = None) -> Proxy:
        """A proxy to ``host:port`` or a Unix socket; with ``tls`` it speaks TLS to those who come, plain onwards."""
        proxy = Proxy(upstream, self.run)
        self.run(proxy.listen(tls))
        self._proxies.append(proxy)
        return proxy

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self._proxies:
            self.run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Link:
    """One caller's connection and the one onwards."""

    def __init__(self, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.writers = writers
        self.lost = False

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """One port in front of one backend. What a fault does to it is undone by ``heal``."""

    def __init__(self, upstream: str | Path, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._upstream = upstream
        self._run = run
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delay_s = 0.0
        self._refuses = False
        self._passes = asyncio.Event()
        self._passes.set()

    # -- what a test says ------------------------------------------------------------------------------------

    def slow(self, seconds: float) -> None:
        """Everything takes this much longer, in each direction."""
        self._run(self._set(delay_s=seconds))

    def hold(self) -> None:
        """A black hole: connections are taken, nothing passes. What was sent arrives when it heals, as TCP has it."""
        self._run(self._set(passes=False))

    def lose(self) -> None:
        """Half-open: the other end of each connection is gone and nobody is told. New connections are well."""
        self._run(self._lose())

    def refuse(self) -> None:
        """Connections are reset, and new ones as soon as they come."""
        self._run(self._set(refuses=True))

    def reset(self) -> None:
        """Reset the connections that there are; new ones are well."""
        self._run(self._reset())

    def heal(self) -> None:
        """Everything passes again. What was lost stays lost."""
        self._run(self._set())

    # -- on the loop -----------------------------------------------------------------------------------------

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=tls)
        self.address = address(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """End every connection."""
        self._server.close()
        await self._reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _set(self, *, delay_s: float = 0.0, passes: bool = True, refuses: bool = False) -> None:
        self._delay_s, self._refuses = delay_s, refuses
        (self._passes.set if passes else self._passes.clear)()
        if refuses:
            await self._reset()

    async def _lose(self) -> None:
        for link in self._links:
            link.lost = True

    async def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            onward_reader, onward_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link((writer, onward_writer))
        self._links.add(link)
        pumps = [
            asyncio.ensure_future(self._pump(link, source, sink))
            for source, sink in ((reader, onward_writer), (onward_reader, writer))
        ]
        self._tasks.update(pumps)
        await asyncio.wait(pumps)
        self._tasks.difference_update(pumps)
        self._links.discard(link)
        link.reset()

    async def _connect(self) -> Stream:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(str(self._upstream))
        host, _, port = self._upstream.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump(self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction: as much as may be in transit is read, and each chunk leaves when it is due."""
        transit: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_TRANSIT)
        leaving = asyncio.ensure_future(self._leave(link, transit, sink))
        try:
            data = b"-"
            while data:
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    data = b""
                await transit.put((asyncio.get_running_loop().time() + self._delay_s, data))
            await leaving
        finally:
            leaving.cancel()

    async def _leave(
        self, link: _Link, transit: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        """Until the source has ended: an empty chunk."""
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            due, data = await transit.get()
            await asyncio.sleep(due - loop.time())
            await self._passes.wait()
            try:
                if link.lost:  # who gives the connection up is not heard of at the other end, either
                    continue
                if data:
                    sink.write(data)
                    await sink.drain()
                elif sink.can_write_eof():
                    sink.write_eof()
                else:  # TLS cannot be half closed
                    sink.close()
            except OSError:
                link.lost = True
                link.reset()
