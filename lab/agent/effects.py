"""What a rule does to the packets it matches: decided packet by packet, from the rule's own seeded chance.

Each rule sees every packet it matches, whatever the others decided, and what they decided is added up: rules combine,
and their order does not matter. A packet that one rule loses is lost; else one that is rejected is rejected; delays and
copies add.
"""

# ruff: noqa: ARG002 - one shape for all effects, and not each needs all of it
import math
from collections.abc import Mapping
from random import Random
from statistics import NormalDist
from typing import Any, Final, Protocol

from .protocol import ProtocolError

_STANDARD: Final = NormalDist()


class Fate:
    """What becomes of one packet."""

    __slots__ = ("copies", "damage", "delay", "hook", "lost", "rejected")

    def __init__(self, hook: int = 0) -> None:
        self.hook = hook  # where it was met: which way it goes
        self.delay = 0.0  # seconds
        self.damage: tuple[float, ...] = ()  # bits to be flipped: how far into the packet, from 0 to 1
        self.lost = False
        self.rejected = False
        self.copies = 0  # beside the packet itself


class Effect(Protocol):
    """One kind of disturbance."""

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Add to the fate of a packet of `size` octets that came at `now`, monotonic; tell whether it was touched."""


class Delay:
    """Holds each packet for a while.

    "constant": `mean` seconds. "uniform": from mean - jitter to mean + jitter. "normal" and "pareto": with this mean
    and standard deviation `jitter`; the normal is cut off at 0, the Pareto (type I) has the tail index that follows
    from both, always above 2. Successive delays are correlated as a Gaussian AR(1) process (`correlation` from 0 to
    below 1) behind the distribution's quantiles, so that correlation leaves the distribution as it is.

    Without `reorder` no packet overtakes one that goes the same way: it waits for that one, as in a queue, and is
    delayed by more than was drawn.
    """

    def __init__(
        self,
        random: Random,
        mean: float,
        distribution: str = "constant",
        jitter: float = 0.0,
        correlation: float = 0.0,
        reorder: bool = True,
    ) -> None:
        _require(mean >= 0 and jitter >= 0, "a delay and its jitter are not negative")
        _require(distribution in ("constant", "uniform", "normal", "pareto"), f"no distribution {distribution!r}")
        _require(0 <= correlation < 1, "a correlation is from 0 to below 1")
        self._gauss = random.gauss
        self._mean, self._jitter = mean, jitter
        self._distribution = distribution if jitter else "constant"
        self._correlation, self._fresh = correlation, math.sqrt(1 - correlation**2)
        self._last = random.gauss(0.0, 1.0)
        self._reorder = reorder
        self._latest: dict[int, float] = {}  # by way: when the last packet goes on, monotonic
        if self._distribution == "pareto":
            _require(mean > 0, "a Pareto distribution has a mean above 0")
            self._index = 1 + math.sqrt(1 + (mean / jitter) ** 2)
            self._scale = mean * (self._index - 1) / self._index

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Delay the packet."""
        delay = self._mean if self._distribution == "constant" else self._draw()
        if not self._reorder:
            # A nanosecond more than the one before: what is added up later is rounded, and must not turn them round.
            delay = max(delay, self._latest.get(fate.hook, 0.0) - now + 1e-9)
            self._latest[fate.hook] = now + delay
        fate.delay += delay
        return True

    def _draw(self) -> float:
        last = self._last = self._correlation * self._last + self._fresh * self._gauss(0.0, 1.0)
        if self._distribution == "normal":
            return max(0.0, self._mean + self._jitter * last)
        share = _STANDARD.cdf(last)
        if self._distribution == "uniform":
            return self._mean + self._jitter * (2 * share - 1)
        # At 8 standard deviations 1 - share is 0 in floating point.
        return float(self._scale * max(1 - share, 1e-12) ** (-1 / self._index))


class Loss:
    """Loses each packet with probability `share`, independently."""

    def __init__(self, random: Random, share: float) -> None:
        _require(0 <= share <= 1, "a share is from 0 to 1")
        self._random, self._share = random.random, share

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Lose the packet, or not."""
        lost = self._random() < self._share
        fate.lost |= lost
        return lost


class EveryNth:
    """Loses every n-th packet: the n-th, the 2n-th and so on."""

    def __init__(self, random: Random, every: int) -> None:
        _require(every >= 1, "every n-th: n is at least 1")
        self._every, self._count = every, 0

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Lose the packet if it is its turn."""
        self._count += 1
        lost = self._count % self._every == 0
        fate.lost |= lost
        return lost


class GilbertElliott:
    """Loses packets in bursts: a Markov chain of a good state, without loss, and a bad one.

    Before each packet the chain goes from good to bad with probability `enter`, from bad to good with `leave`; in the
    bad state a packet is lost with probability `bad_loss` (1: Gilbert's model). It starts in its stationary
    distribution. E. N. Gilbert, Bell Syst. Tech. J. 39 (1960); E. O. Elliott, ibid. 42 (1963).
    """

    def __init__(self, random: Random, enter: float, leave: float, bad_loss: float = 1.0) -> None:
        _require(0 < enter <= 1 and 0 < leave <= 1, "the probabilities to change state are above 0, to 1")
        _require(0 < bad_loss <= 1, "the loss in the bad state is above 0, to 1")
        self._random = random.random
        self._enter, self._leave, self._bad_loss = enter, leave, bad_loss
        self._bad = random.random() < enter / (enter + leave)

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Change state, or not, and lose the packet, or not."""
        if self._random() < (self._leave if self._bad else self._enter):
            self._bad = not self._bad
        lost = self._bad and (self._bad_loss == 1.0 or self._random() < self._bad_loss)
        fate.lost |= lost
        return lost


class Drop:
    """Loses every packet."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Lose the packet."""
        fate.lost = True
        return True


class Reject:
    """Refuses every packet aloud: ICMP port unreachable for UDP, a reset for TCP."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Reject the packet."""
        fate.rejected = True
        return True


class Hold:
    """Holds a share of the packets for `hold` seconds, so that later ones overtake them."""

    def __init__(self, random: Random, share: float, hold: float) -> None:
        _require(0 <= share <= 1, "a share is from 0 to 1")
        _require(hold > 0, "packets are held for some time")
        self._random, self._share, self._hold = random.random, share, hold

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Hold the packet back, or not."""
        held = self._random() < self._share
        if held:
            fate.delay += self._hold
        return held


class Duplicate:
    """Delivers a share of the packets twice."""

    def __init__(self, random: Random, share: float) -> None:
        _require(0 <= share <= 1, "a share is from 0 to 1")
        self._random, self._share = random.random, share

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Copy the packet, or not."""
        twice = self._random() < self._share
        fate.copies += twice
        return twice


class Damage:
    """Flips `bits` bits, each anywhere, in a share of the packets; see :mod:`.damage` for where they can be."""

    def __init__(self, random: Random, share: float, bits: int = 1) -> None:
        _require(0 <= share <= 1, "a share is from 0 to 1")
        _require(bits >= 1, "at least one bit is flipped")
        self._random, self._share, self._bits = random.random, share, bits

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Damage the packet, or not."""
        hit = self._random() < self._share
        if hit:
            fate.damage += tuple(self._random() for _ in range(self._bits))
        return hit


class Oversize:
    """Loses packets of more than `above` octets, IP header included; smaller ones pass."""

    def __init__(self, random: Random, above: float) -> None:
        _require(above >= 0, "a size is not negative")
        self._above = above

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Lose the packet if it is too large."""
        lost = size > self._above
        fate.lost |= lost
        return lost


class Rate:
    """A link of `rate` bits a second behind a queue of `queue` octets that drops what finds it full (tail drop).

    Sizes are those of IP packets: what an Ethernet adds is not counted.
    """

    def __init__(self, random: Random, rate: float, queue: float) -> None:
        _require(rate > 0, "a rate is above 0 bits a second")
        _require(queue >= 0, "a queue has no negative size")
        self._seconds_an_octet = 8 / rate
        self._longest = queue * self._seconds_an_octet
        self._free = 0.0  # when the link has sent all it was given

    def apply(self, fate: Fate, size: int, now: float) -> bool:
        """Have the packet wait until the link has sent it."""
        begin = max(now, self._free)
        if begin - now > self._longest:
            fate.lost = True
            return True
        self._free = begin + size * self._seconds_an_octet
        fate.delay += self._free - now
        return True


_KINDS: Final[Mapping[str, type[Any]]] = {
    "delay": Delay,
    "loss": Loss,
    "every": EveryNth,
    "gilbert-elliott": GilbertElliott,
    "drop": Drop,
    "reject": Reject,
    "hold": Hold,
    "duplicate": Duplicate,
    "damage": Damage,
    "oversize": Oversize,
    "rate": Rate,
}


def effect(spec: Mapping[str, Any], seed: int) -> Effect:
    """Return the effect that a rule speaks of, with chance as from the seed. Raises ProtocolError if there is none."""
    parameters = {name: value for name, value in spec.items() if name != "kind"}
    kind = str(spec.get("kind"))
    if kind not in _KINDS:
        raise ProtocolError(f"no effect {kind!r} (there are: {', '.join(_KINDS)})")
    try:
        made: Effect = _KINDS[kind](Random(seed), **parameters)
    except TypeError as error:
        raise ProtocolError(f"effect {kind}: {error}") from error
    return made


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ProtocolError(text)
