"""Lets a person's ``dig`` into the lab: ``python3 -m agent.gateway 10.0.0.53 10.0.1.53``.

Each message is passed on unchanged to the first of the resolvers given, over the transport it came by, and the response
back. If a resolver has not answered within the patience, the next one is asked as well, and the first response counts;
if it is unreachable, the next one is asked at once. Either way it goes last for some seconds, so that not every query
has to wait. There is no cache, no traffic without a query, and a query is never sent to the same resolver twice: the
person's own program retries, and it is the resolver's answer, SERVFAIL included, that the person is to see.

The patience is 2 seconds: dig and resolv.conf(5) wait for 5, so that two resolvers fit into one try, while a resolver
that has to go through a time-out of its own, mostly 0.4 to 1.5 seconds, is left the time for it.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

_PORT: Final = 53
_HEADER: Final = 12
_REMEMBERED: Final = 5.0  # seconds that a resolver which failed goes last
_LIFETIME: Final = 15.0  # seconds a query is kept: longer than the slowest resolver takes to give up
_IDLE: Final = 10.0  # seconds without a query after which a connection is closed (RFC 7766 section 6.2.3)
_MOST_PENDING: Final = 256  # each may have a socket to every resolver
_MOST_CONNECTIONS: Final = 128

Exchange = Callable[[str, int, bytes], Awaitable[bytes]]


class Gateway:
    """Relays DNS messages to resolvers, given by address, the preferred one first. Patience in seconds."""

    def __init__(self, resolvers: Sequence[str], patience: float = 2.0, resolver_port: int = _PORT) -> None:
        self._resolvers = resolvers
        self._patience = patience
        self._port = resolver_port
        self._avoid: dict[str, float] = {}  # until when, monotonic
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def start(self, host: str, port: int) -> int:
        """Listen over TCP and UDP; return the port, chosen freely if 0 is given. Raises OSError if it is taken."""
        self._tcp = await asyncio.start_server(self._serve, host, port)
        port = int(self._tcp.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Listener(self), (host, port))
        return port

    def close(self) -> None:
        """Stop listening."""
        self._tcp.close()
        self._udp.close()

    def receive(self, query: bytes, client: Any) -> None:
        """Relay a datagram; what is no query is dropped, and so is what exceeds the bound, as by a full buffer."""
        if _is_query(query) and len(self._tasks) < _MOST_PENDING:
            task = asyncio.create_task(self._answer(query, client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, query: bytes, client: Any) -> None:
        response = await self._relay(query, _ask_udp)
        if response is not None:
            self._udp.sendto(response, client)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay what comes over a connection, one message after the other."""
        self._connections += 1
        try:
            while self._connections <= _MOST_CONNECTIONS:
                query = await asyncio.wait_for(_read(reader), _IDLE)
                response = await self._relay(query, _ask_tcp) if _is_query(query) else None
                if response is None:
                    break
                writer.write(len(response).to_bytes(2, "big") + response)
                await asyncio.wait_for(writer.drain(), _IDLE)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # the client is gone or silent
        finally:
            self._connections -= 1
            writer.close()

    async def _relay(self, query: bytes, ask: Exchange) -> bytes | None:
        """Return the first response of the resolvers, None if there is none in time."""
        waiting: set[asyncio.Future[bytes]] = set()
        now = time.monotonic()
        order = sorted(self._resolvers, key=lambda resolver: self._avoid.get(resolver, now) > now)
        try:
            for resolver in order:
                latest = asyncio.ensure_future(ask(resolver, self._port, query))
                waiting.add(latest)
                is_last = resolver == order[-1]
                until = now + _LIFETIME if is_last else time.monotonic() + self._patience
                while (latest in waiting or (is_last and waiting)) and (left := until - time.monotonic()) > 0:
                    done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                    responses = [task.result() for task in done if task.exception() is None]
                    if responses:
                        return responses[0]
                self._avoid[resolver] = time.monotonic() + _REMEMBERED
            return None
        finally:
            for task in waiting:
                task.cancel()


class _Listener(asyncio.DatagramProtocol):
    """Hands the datagrams of the listening socket to the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._gateway.receive(data, addr)


class _Upstream(asyncio.DatagramProtocol):
    """The socket, with a port of its own, that one query is sent from."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002
        if _is_response(self._query, data) and not self.response.done():
            self.response.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.response.done():
            self.response.set_exception(exc)


async def _ask_udp(resolver: str, port: int, query: bytes) -> bytes:
    """Return the resolver's response; raises OSError if it is unreachable, never gives up."""
    loop = asyncio.get_running_loop()
    transport, upstream = await loop.create_datagram_endpoint(lambda: _Upstream(query), remote_addr=(resolver, port))
    try:
        transport.sendto(query)
        return await upstream.response
    finally:
        transport.close()


async def _ask_tcp(resolver: str, port: int, query: bytes) -> bytes:
    """Return the resolver's response; raises OSError or EOFError if it is unreachable, never gives up."""
    reader, writer = await asyncio.open_connection(resolver, port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        while not _is_response(query, response := await _read(reader)):
            pass
        return response
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Return the next message of a connection. Raises EOFError at its end."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


def _is_query(message: bytes) -> bool:
    return len(message) >= _HEADER and not message[2] & 0x80


def _is_response(query: bytes, message: bytes) -> bool:
    return len(message) >= _HEADER and message[:2] == query[:2] and bool(message[2] & 0x80)


def main() -> None:
    """Run the gateway until it is killed."""
    parser = argparse.ArgumentParser(prog="agent.gateway", description=__doc__.partition("\n")[0])
    parser.add_argument("resolvers", nargs="+", metavar="RESOLVER", help="addresses, the preferred first")
    parser.add_argument("--listen", default="0.0.0.0", metavar="ADDRESS", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=_PORT, help="default: %(default)s")
    parser.add_argument("--patience", type=float, default=2.0, metavar="SECONDS", help="default: %(default)s")
    arguments = parser.parse_args()

    async def serve() -> None:
        await Gateway(arguments.resolvers, arguments.patience).start(arguments.listen, arguments.port)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
