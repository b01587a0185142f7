"""How the mesh dials: message limits, keepalive, quick reconnects, TLS from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from cardiomesh.errors import InvalidRequest
from cardiomesh.rpc.renewal import RenewedChannel

__all__ = ["MAX_MESSAGE_BYTES", "TlsFiles", "channel_options", "dial", "dial_sync"]

#: A ten-second 16-lead file is well below 1 MiB; an hour of Holter does not belong in one message.
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of the caller's side. ``ca`` alone is TLS; with ``certificate`` and ``key`` it is mTLS."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that there are."""
        return tuple(file for file in (self.ca, self.certificate, self.key) if file is not None)

    def credentials(self) -> grpc.ChannelCredentials:
        """Channel credentials; InvalidRequest names the file that cannot be read."""
        try:
            ca = self.ca.read_bytes()
            certificate = self.certificate.read_bytes() if self.certificate else None
            key = self.key.read_bytes() if self.key else None
        except OSError as error:
            raise InvalidRequest.field("tls", f"{error.filename}: {error.strerror}", "UNREADABLE") from error
        return grpc.ssl_channel_credentials(ca, key, certificate)


def channel_options(max_message_bytes: int = MAX_MESSAGE_BYTES) -> list[tuple[str, int | str]]:
    """Options of every channel.

    The receive limit is four times the send limit, because an answer may carry the decoded float32 signal of a
    compressed file. Reconnects start at 100 ms and stay below 2 s, so that a restarted backend is found at once.
    """
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", 4 * max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.keepalive_time_ms", 30_000),
        # The first bounds what the kernel waits for an acknowledgement, the second what grpc waits for a ping's answer.
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        ("grpc.enable_http_proxy", 0),
    ]


def dial(address: str, tls: TlsFiles | None = None, *, ping_idle: bool = False) -> grpc.aio.Channel:
    """An asyncio channel to ``host:port`` or ``dns:///name:port``; TLS files are read again when they change.

    ``ping_idle`` is for servers of the chassis, which allow it: a connection whose other end is gone without a word is
    then found also between calls. Without it only calls that are in flight when a ping is due can find it.
    """
    options = [*channel_options(), ("grpc.keepalive_permit_without_calls", int(ping_idle))]
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    return RenewedChannel(lambda: grpc.aio.secure_channel(address, tls.credentials(), options=options), tls.files)


def dial_sync(address: str, tls: TlsFiles | None = None) -> grpc.Channel:
    """The same, for blocking callers; TLS files are read once."""
    if tls is None:
        return grpc.insecure_channel(address, options=channel_options())
    return grpc.secure_channel(address, tls.credentials(), options=channel_options())
