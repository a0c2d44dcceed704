import struct
import time

import pytest

from lab.agent import clock as clock_module
from lab.agent.clock import Clock, ClockError, wall


@pytest.fixture
def directory(tmp_path):
    for node in ("resolver-1", "resolver-2"):
        (tmp_path / node).write_bytes(struct.pack("q", 0))
    return tmp_path


def test_a_step_is_in_the_file_and_leaves_the_other_nodes_alone(directory):
    clock = Clock(directory)
    clock.set({"resolver-1": 169_200_000_000_000})
    assert clock.read() == {"resolver-1": 169_200_000_000_000, "resolver-2": 0}
    assert struct.unpack("q", (directory / "resolver-1").read_bytes()) == (169_200_000_000_000,)


def test_a_step_is_seen_through_a_mapping_made_before(directory):
    import mmap

    with (directory / "resolver-1").open("rb") as file, mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as memory:
        Clock(directory).set({"resolver-1": 5})
        assert struct.unpack("q", memory[:8]) == (5,)


def test_a_file_that_takes_the_place_of_another_is_read_and_written(directory):
    clock = Clock(directory)
    clock.set({"resolver-1": 5})
    (directory / "new").write_bytes(struct.pack("q", 7))
    (directory / "new").rename(directory / "resolver-1")
    assert clock.read() == {"resolver-1": 7, "resolver-2": 0}
    clock.set({"resolver-1": 9})
    assert struct.unpack("q", (directory / "resolver-1").read_bytes()) == (9,)


def test_it_only_goes_forward_unless_forced(directory):
    clock = Clock(directory)
    clock.set({"resolver-1": 10})
    clock.set({"resolver-1": 10})
    with pytest.raises(ClockError, match="the lab's clock only goes forward"):
        clock.set({"resolver-2": 20, "resolver-1": 9})
    assert clock.read() == {"resolver-1": 10, "resolver-2": 0}, "all are set or none"
    clock.set({"resolver-1": -9}, force=True)
    assert clock.read()["resolver-1"] == -9


@pytest.mark.parametrize("node", ["resolver-3", "../resolver-1", "", "."])
def test_an_unknown_node_is_refused_and_the_known_ones_are_named(directory, node):
    with pytest.raises(ClockError, match="resolver-1, resolver-2"):
        Clock(directory).set({node: 1})


@pytest.mark.parametrize("offset", [1.5, "1", None, True, 2**63])
def test_an_offset_is_a_number_of_64_bits(directory, offset):
    with pytest.raises(ClockError, match="whole number"):
        Clock(directory).set({"resolver-1": offset})


def test_without_a_directory_there_are_no_nodes(tmp_path):
    clock = Clock(tmp_path / "none")
    assert clock.read() == {}
    with pytest.raises(ClockError, match="none"):
        clock.set({"resolver-1": 1})


def test_a_file_of_another_size_is_named(directory):
    (directory / "notes").write_bytes(b"abc")
    with pytest.raises(ClockError, match="notes"):
        Clock(directory).read()


def test_it_is_moved_on_to_a_time_and_the_distances_between_nodes_stay(directory):
    clock, hour = Clock(directory), 3600 * 10**9
    clock.set({"resolver-2": 5 * 10**9})
    step = clock.forward(time.time() + 3600)
    ahead = clock.read()
    assert step is not None
    assert time.time() - 5 < step.wall <= time.time()
    assert step.by == ahead["resolver-1"] / 1e9
    assert hour - 10**8 < ahead["resolver-2"] <= hour
    assert ahead["resolver-2"] - ahead["resolver-1"] == 5 * 10**9
    assert clock.forward(time.time() + 60) is None
    assert clock.read() == ahead, "where it is already, or beyond, it stays"


def test_a_clock_without_nodes_is_not_moved(tmp_path):
    assert Clock(tmp_path).forward(time.time() + 3600) is None
    assert Clock(tmp_path).read() == {}


class BusyMachine:
    """Both clocks, on a machine where another program runs for `away` seconds before each of the first readings."""

    def __init__(self, away, often):
        self.now, self.away, self.often = 100.0, away, often

    def _read(self):
        self.now += 1e-6
        if self.often > 0:
            self.often -= 1
            self.now += self.away
        return self.now

    def monotonic(self):
        return self._read()

    def time(self):
        return 1_700_000_000 + self._read()


def test_what_comes_between_two_readings_does_not_put_the_clocks_apart(monkeypatch):
    """A batch dated 50 ms too early put what was on the wire in that time into later look-ups of virtual time."""
    monkeypatch.setattr(clock_module, "time", BusyMachine(away=0.05, often=10))
    assert wall(90.0) == pytest.approx(1_700_000_090, abs=1e-5)
    monkeypatch.setattr(clock_module, "time", BusyMachine(away=0.002, often=10**9))
    assert wall(90.0) == pytest.approx(1_700_000_090, abs=0.003), "never quiet: as well as can be"
