"""What the conditioner decides: distributions, losses, bursts within their statistical intervals; repeatable.

Everything here is seeded, so an interval that holds once holds always; they are wide enough for any seed to be fair.
"""

import itertools
import math
import statistics

import pytest

from lab.agent.damage import damaged
from lab.agent.effects import Fate, effect
from lab.agent.protocol import ProtocolError

N = 20_000
SIGMAS = 4


def fates(spec: dict[str, object], seed: int = 1, count: int = N) -> list[Fate]:
    made, found = effect(spec, seed), []
    for _ in range(count):
        fate = Fate()
        made.apply(fate, 100, 0.0)
        found.append(fate)
    return found


def delays(seed: int = 1, **spec: object) -> list[float]:
    return [fate.delay for fate in fates({"kind": "delay", **spec}, seed)]


def losses(seed: int = 1, **spec: object) -> list[bool]:
    return [fate.lost for fate in fates(spec, seed)]


def test_a_constant_delay_is_constant() -> None:
    assert set(delays(mean=0.05)) == {0.05}


@pytest.mark.parametrize(
    ("distribution", "mean", "jitter", "sd"),
    [("uniform", 0.05, 0.02, 0.02 / math.sqrt(3)), ("normal", 0.05, 0.01, 0.01), ("pareto", 0.05, 0.01, 0.01)],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mean_and_standard_deviation(distribution: str, mean: float, jitter: float, sd: float, seed: int) -> None:
    drawn = delays(seed, mean=mean, distribution=distribution, jitter=jitter)
    assert statistics.mean(drawn) == pytest.approx(mean, abs=SIGMAS * sd / math.sqrt(N))
    # The Pareto's sample deviation converges slowly: with this index (6.1) the fourth moment is finite, the tail heavy.
    assert statistics.stdev(drawn) == pytest.approx(sd, rel=0.15 if distribution == "pareto" else 0.03)


def test_the_limits_of_distributions() -> None:
    uniform = delays(mean=0.05, distribution="uniform", jitter=0.02)
    assert 0.03 <= min(uniform) < 0.0301
    assert 0.0699 < max(uniform) <= 0.07
    assert min(delays(mean=0.01, distribution="normal", jitter=0.01)) == 0.0
    index = 1 + math.sqrt(1 + (0.05 / 0.01) ** 2)
    scale = 0.05 * (index - 1) / index
    pareto = delays(mean=0.05, distribution="pareto", jitter=0.01)
    assert min(pareto) >= scale
    beyond = sum(delay > 2 * scale for delay in pareto) / N
    assert beyond == pytest.approx(2**-index, abs=SIGMAS * math.sqrt(2**-index / N))


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_correlation_leaves_the_distribution_as_it_is(distribution: str) -> None:
    drawn = delays(mean=0.05, distribution=distribution, jitter=0.01, correlation=0.8)
    alone = delays(mean=0.05, distribution=distribution, jitter=0.01)
    assert statistics.correlation(drawn[1:], drawn[:-1]) == pytest.approx(0.8, abs=0.03)
    assert statistics.correlation(alone[1:], alone[:-1]) == pytest.approx(0, abs=0.03)
    # AR(1): (1 + rho) / (1 - rho) = 9 times fewer independent samples.
    assert statistics.mean(drawn) == pytest.approx(0.05, abs=SIGMAS * 0.01 * 3 / math.sqrt(N))
    assert statistics.stdev(drawn) == pytest.approx(statistics.stdev(alone), rel=0.08)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_loss_is_binomial(share: float, seed: int) -> None:
    lost = sum(losses(seed, kind="loss", share=share))
    assert abs(lost - N * share) <= SIGMAS * math.sqrt(N * share * (1 - share))


def test_loss_of_nothing_and_of_everything() -> None:
    assert not any(losses(kind="loss", share=0.0))
    assert all(losses(kind="loss", share=1.0))
    assert all(losses(kind="drop"))


def test_every_nth_is_exact() -> None:
    lost = losses(kind="every", every=7)
    assert [n for n, gone in enumerate(lost, 1) if gone] == list(range(7, N + 1, 7))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gilbert_elliott_share_and_burst_lengths(seed: int) -> None:
    enter, leave = 0.02, 0.25
    lost = losses(seed, kind="gilbert-elliott", enter=enter, leave=leave)
    bursts = [len(list(run)) for gone, run in itertools.groupby(lost) if gone]
    # A stay in the bad state is geometric: mean 1 / leave, variance (1 - leave) / leave^2.
    sd = math.sqrt(1 - leave) / leave
    assert statistics.mean(bursts) == pytest.approx(1 / leave, abs=SIGMAS * sd / math.sqrt(len(bursts)))
    single = sum(length == 1 for length in bursts) / len(bursts)
    assert single == pytest.approx(leave, abs=SIGMAS * math.sqrt(leave * (1 - leave) / len(bursts)))
    bad = enter / (enter + leave)
    correlation = 1 - enter - leave
    sd_of_share = math.sqrt(bad * (1 - bad) / N * (1 + correlation) / (1 - correlation))
    assert sum(lost) / N == pytest.approx(bad, abs=SIGMAS * sd_of_share)


def test_gilbert_elliott_spares_some_in_the_bad_state() -> None:
    all_bad = sum(losses(kind="gilbert-elliott", enter=0.02, leave=0.25))
    half_bad = sum(losses(kind="gilbert-elliott", enter=0.02, leave=0.25, bad_loss=0.5))
    assert half_bad / all_bad == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "loss", "share": 0.3},
        {"kind": "gilbert-elliott", "enter": 0.1, "leave": 0.3},
        {"kind": "delay", "mean": 0.05, "distribution": "normal", "jitter": 0.01},
        {"kind": "hold", "share": 0.3, "hold": 0.02},
        {"kind": "duplicate", "share": 0.3},
    ],
    ids=lambda spec: spec["kind"],
)
def test_the_same_seed_gives_the_same_fates(spec: dict[str, object]) -> None:
    def shown(seed: int) -> list[tuple[float, bool, int]]:
        return [(fate.delay, fate.lost, fate.copies) for fate in fates(spec, seed, 500)]

    assert shown(7) == shown(7)
    assert shown(7) != shown(8)


@pytest.mark.parametrize(("kind", "field"), [("hold", "delay"), ("duplicate", "copies")])
def test_shares_of_holding_and_doubling(kind: str, field: str) -> None:
    spec = {"kind": kind, "share": 0.3} | ({"hold": 0.02} if kind == "hold" else {})
    touched = sum(bool(getattr(fate, field)) for fate in fates(spec))
    assert abs(touched - 0.3 * N) <= SIGMAS * math.sqrt(N * 0.3 * 0.7)


def test_rate_sends_one_after_the_other() -> None:
    made = effect({"kind": "rate", "rate": 8000, "queue": 250}, 1)  # an octet a millisecond

    def sent(size: int, now: float) -> Fate:
        fate = Fate()
        made.apply(fate, size, now)
        return fate

    assert sent(100, 10.0).delay == pytest.approx(0.1)
    assert sent(100, 10.0).delay == pytest.approx(0.2)
    assert sent(100, 10.05).delay == pytest.approx(0.25)
    assert sent(100, 10.05).delay == pytest.approx(0.35), "250 octets wait: the queue is not yet beyond its length"
    assert sent(100, 10.05).lost
    assert sent(100, 10.3).delay == pytest.approx(0.2), "what was lost took no time"
    assert sent(100, 20.0).delay == pytest.approx(0.1)


def test_effects_combine_in_any_order() -> None:
    specs = [
        {"kind": "delay", "mean": 0.05},
        {"kind": "hold", "share": 0.5, "hold": 0.02},
        {"kind": "loss", "share": 0.5},
        {"kind": "duplicate", "share": 0.5},
        {"kind": "reject"},
    ]
    outcomes = set()
    for order in itertools.permutations(specs):
        made = [effect(spec, 1) for spec in order]
        row = []
        for _ in range(20):
            fate = Fate()
            for one in made:
                one.apply(fate, 100, 0.0)
            row.append((round(fate.delay, 9), fate.lost, fate.rejected, fate.copies))
        outcomes.add(tuple(row))
    assert len(outcomes) == 1


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, "no effect 'None'"),
        ({"kind": "tarpit"}, "no effect 'tarpit'"),
        ({"kind": "loss"}, "share"),
        ({"kind": "loss", "share": 1.2}, "from 0 to 1"),
        ({"kind": "drop", "share": 1}, "share"),
        ({"kind": "delay", "mean": -1}, "not negative"),
        ({"kind": "delay", "mean": 1, "distribution": "gamma"}, "no distribution 'gamma'"),
        ({"kind": "delay", "mean": 1, "correlation": 1}, "below 1"),
        ({"kind": "every", "every": 0}, "at least 1"),
        ({"kind": "gilbert-elliott", "enter": 0, "leave": 1}, "above 0"),
        ({"kind": "hold", "share": 0.1, "hold": 0}, "some time"),
        ({"kind": "rate", "rate": 0, "queue": 1}, "above 0 bits"),
    ],
)
def test_what_is_no_effect_is_refused(spec: dict[str, object], text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        effect(spec, 1)


def chi_square(lengths: list[int], leave: float, bins: int) -> float:
    """Of burst lengths against the geometric distribution: 1 to `bins` packets, and all longer ones together."""
    expected = [len(lengths) * leave * (1 - leave) ** (length - 1) for length in range(1, bins + 1)]
    observed = [sum(found == length for found in lengths) for length in range(1, bins + 1)]
    expected.append(len(lengths) - sum(expected))
    observed.append(len(lengths) - sum(observed))
    return sum((seen - wanted) ** 2 / wanted for seen, wanted in zip(observed, expected, strict=True))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_burst_lengths_are_geometric(seed: int) -> None:
    enter, leave = 0.05, 0.25
    lost = [fate.lost for fate in fates({"kind": "gilbert-elliott", "enter": enter, "leave": leave}, seed, 100_000)]
    bursts = [len(list(run)) for gone, run in itertools.groupby(lost) if gone]
    # 12 bins and the rest: 12 degrees of freedom, 99.9 % of which are below 32.9. Independent losses fail it by far.
    assert chi_square(bursts, leave, 12) < 32.9
    share = enter / (enter + leave)
    alone = [fate.lost for fate in fates({"kind": "loss", "share": share}, seed, 100_000)]
    assert chi_square([len(list(run)) for gone, run in itertools.groupby(alone) if gone], leave, 12) > 1000


def test_order_is_kept_each_way_by_itself() -> None:
    spec = {"kind": "delay", "mean": 0.05, "distribution": "uniform", "jitter": 0.05, "reorder": False}
    made, last = effect(spec, 1), {1: 0.0, 3: 0.0}
    waited = 0
    for number in range(2000):
        hook, now = (1, 3)[number % 2], 1000 + number * 0.001
        fate = Fate(hook)
        made.apply(fate, 100, now)
        assert now + fate.delay > last[hook]
        waited += fate.delay > 0.1
        last[hook] = now + fate.delay
    assert waited == 0, "nobody waits for what goes the other way, or longer than the longest delay"


@pytest.mark.parametrize("bits", [1, 5])
def test_damage_is_a_share_of_packets_and_some_bits_of_each(bits: int) -> None:
    found = fates({"kind": "damage", "share": 0.3, "bits": bits})
    hit = [fate.damage for fate in found if fate.damage]
    assert abs(len(hit) - 0.3 * N) <= SIGMAS * math.sqrt(N * 0.3 * 0.7)
    assert all(len(places) == bits and all(0 <= place < 1 for place in places) for places in hit)


@pytest.mark.parametrize(
    ("head", "start"),
    [(bytes([0x45]) + bytes(19), 28), (bytes([0x46]) + bytes(23), 32), (bytes([0x60]) + bytes(39), 48)],
)
def test_bits_are_flipped_behind_the_ports(head: bytes, start: int) -> None:
    content = head + bytes(8 + 100)
    for place in (0.0, 0.5, 0.999):
        changed = damaged(content, [place])
        [where] = [index for index, octet in enumerate(changed) if octet != content[index]]
        assert where >= start
        assert changed[where].bit_count() == 1
    assert (
        sum(octet.bit_count() for octet in damaged(content, [0.5] * 9))
        == sum(octet.bit_count() for octet in content) + 9
    ), "no bit is flipped back"
    assert damaged(head + bytes(8), [0.3]) != head + bytes(8), "one with nothing behind the ports is damaged at its end"


def test_oversize_spares_what_just_fits() -> None:
    made = effect({"kind": "oversize", "above": 512}, 1)
    for size, lost in ((100, False), (512, False), (513, True)):
        fate = Fate()
        assert made.apply(fate, size, 0.0) is lost
        assert fate.lost is lost
