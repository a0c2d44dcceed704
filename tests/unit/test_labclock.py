"""The preloaded clock (images/base/labclock.c), compiled and tried on this machine by a small C program."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths

COMPILER = shutil.which("gcc") or shutil.which("cc")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and the clock calls are those of Linux"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler (gcc or cc) on this machine"),
]

HOUR = 3600
#: The clock calls that carry wall-clock time; raw system calls tell the machine's time, past the preloaded library.
PROBE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timespec t) { return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }
static double machine(clockid_t c) { struct timespec t; syscall(SYS_clock_gettime, c, &t); return seconds(t); }
static double asked(clockid_t c) { struct timespec t; clock_gettime(c, &t); return seconds(t); }
static double of_day(void) { struct timeval v; gettimeofday(&v, NULL); return (double)v.tv_sec + 1e-6 * v.tv_usec; }
static double utc(void) { struct timespec t; timespec_get(&t, TIME_UTC); return seconds(t); }
static struct timespec in_50_ms(clockid_t c)
{
    struct timespec t;
    clock_gettime(c, &t);
    t.tv_nsec += 50000000;
    if (t.tv_nsec >= 1000000000) { t.tv_nsec -= 1000000000; t.tv_sec++; }
    return t;
}

static void offsets(void)
{
    double real = machine(CLOCK_REALTIME);
    printf("time %f\n", (double)time(NULL) - real);
    printf("gettimeofday %f\n", of_day() - real);
    printf("timespec_get %f\n", utc() - real);
    printf("realtime %f\n", asked(CLOCK_REALTIME) - real);
    printf("coarse %f\n", asked(CLOCK_REALTIME_COARSE) - real);
    printf("tai %f\n", asked(CLOCK_TAI) - machine(CLOCK_TAI));
    printf("monotonic %f\n", asked(CLOCK_MONOTONIC) - machine(CLOCK_MONOTONIC));
    printf("boottime %f\n", asked(CLOCK_BOOTTIME) - machine(CLOCK_BOOTTIME));
}

static void jump(const char *path, double to)
{
    int64_t ns = (int64_t)(to * 1e9);
    int fd = open(path, O_WRONLY);
    if (pwrite(fd, &ns, sizeof ns, 0) != sizeof ns) abort();
    close(fd);
}

#define WAITED(name, wait)                                                                                             \
    do {                                                                                                               \
        double begin = machine(CLOCK_MONOTONIC);                                                                       \
        int result = (wait);                                                                                           \
        printf(name " %s %f\n", result == 0 ? "ok" : result == ETIMEDOUT ? "timeout" : strerror(result),               \
               machine(CLOCK_MONOTONIC) - begin);                                                                      \
    } while (0)

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;

static void *contender(void *unused)
{
    struct timespec t = in_50_ms(CLOCK_REALTIME);
    (void)unused;
    WAITED("mutex_timedlock", pthread_mutex_timedlock(&held, &t));
    t = in_50_ms(CLOCK_REALTIME);
    WAITED("rwlock_timedrdlock", pthread_rwlock_timedrdlock(&written, &t));
    t = in_50_ms(CLOCK_REALTIME);
    WAITED("rwlock_timedwrlock", pthread_rwlock_timedwrlock(&written, &t));
    return NULL;
}

static void waits(void)
{
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wall = PTHREAD_COND_INITIALIZER, monotonic;
    pthread_condattr_t attr;
    pthread_t other;
    sem_t sem;
    struct timespec t, bad = {time(NULL), -1};
    struct itimerspec timer = {0};
    uint64_t ticks;
    int fd = timerfd_create(CLOCK_REALTIME, 0);

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&monotonic, &attr);
    sem_init(&sem, 0, 0);
    pthread_mutex_lock(&m);
    t = in_50_ms(CLOCK_REALTIME);
    WAITED("cond_timedwait(wall)", pthread_cond_timedwait(&wall, &m, &t));
    t = in_50_ms(CLOCK_MONOTONIC);
    WAITED("cond_timedwait(monotonic)", pthread_cond_timedwait(&monotonic, &m, &t));
    t = in_50_ms(CLOCK_REALTIME);
    WAITED("cond_clockwait(wall)", pthread_cond_clockwait(&wall, &m, CLOCK_REALTIME, &t));
    WAITED("cond_timedwait(malformed)", pthread_cond_timedwait(&wall, &m, &bad));
    t = in_50_ms(CLOCK_REALTIME);
    WAITED("sem_timedwait", sem_timedwait(&sem, &t) == 0 ? 0 : errno);
    t = in_50_ms(CLOCK_REALTIME);
    WAITED("clock_nanosleep", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL));
    timer.it_value = in_50_ms(CLOCK_REALTIME);
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, NULL);
    WAITED("timerfd", read(fd, &ticks, sizeof ticks) == sizeof ticks ? 0 : errno);
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&written);
    pthread_create(&other, NULL, contender, NULL);
    pthread_join(other, NULL);
}

static void sockets(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, size = 65536;
    printf("timestamp %d\n", setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on) == 0 ? 0 : errno);
    printf("timestampns %d\n", setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0 ? 0 : errno);
    printf("rcvbuf %d\n", setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0 ? 0 : errno);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4 && strcmp(argv[1], "jump") == 0) {
        printf("before %f\n", asked(CLOCK_REALTIME) - machine(CLOCK_REALTIME));
        jump(argv[2], atof(argv[3]));
        printf("after %f\n", asked(CLOCK_REALTIME) - machine(CLOCK_REALTIME));
        printf("time %f\n", (double)time(NULL) - machine(CLOCK_REALTIME));
    } else if (strcmp(argv[1], "waits") == 0)
        waits();
    else if (strcmp(argv[1], "sockets") == 0)
        sockets();
    else
        offsets();
    return 0;
}
"""


class Clock:
    """The library and the probe as built, and runs of the probe under it."""

    def __init__(self, folder: Path) -> None:
        self.library = folder / "labclock.so"
        self.probe = folder / "probe"
        source = folder / "probe.c"
        source.write_text(PROBE)
        flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
        shared = [*flags, "-shared", "-fPIC", "-fvisibility=hidden"]  # as in images/base/Dockerfile
        self._compile(*shared, "-o", str(self.library), str(paths.images() / "base" / "labclock.c"))
        self._compile("-O1", "-pthread", "-o", str(self.probe), str(source))

    @staticmethod
    def _compile(*arguments: str) -> None:
        assert COMPILER is not None
        done = subprocess.run([COMPILER, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str, file: Path | None) -> dict[str, list[str]]:
        """First word of each line printed -> the other words."""
        environment = {"LD_PRELOAD": str(self.library)}
        if file is not None:
            environment["LABCLOCK"] = str(file)
        done = subprocess.run(
            [str(self.probe), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}

    def offsets(self, file: Path | None) -> dict[str, float]:
        """How far each clock of a program is from the machine's, in seconds."""
        return {name: float(words[0]) for name, words in self.run("offsets", file=file).items()}


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("labclock"))


def offset_file(folder: Path, seconds: float) -> Path:
    file = folder / "offset"
    file.write_bytes(struct.pack("=q", round(seconds * 1e9)))
    return file


WALL_CLOCKS = ("gettimeofday", "timespec_get", "realtime", "coarse", "tai")


@pytest.mark.parametrize("seconds", [47 * HOUR, -3.25, 0.75, 20 * 365 * 24 * HOUR])
def test_every_wall_clock_is_moved_and_the_monotonic_ones_stay(clock: Clock, tmp_path: Path, seconds: float) -> None:
    seen = clock.offsets(offset_file(tmp_path, seconds))
    for name in WALL_CLOCKS:
        assert seen[name] == pytest.approx(seconds, abs=0.5), name
    assert seconds - 1.5 < seen["time"] < seconds + 0.5  # whole seconds, rounded down
    assert seen["monotonic"] == pytest.approx(0, abs=0.5)
    assert seen["boottime"] == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("case", ["unset", "missing", "empty", "short", "directory"])
def test_without_a_whole_offset_the_time_is_real(clock: Clock, tmp_path: Path, case: str) -> None:
    file = tmp_path / "offset"
    if case == "empty":
        file.write_bytes(b"")
    elif case == "short":
        file.write_bytes(b"\x01" * 7)
    elif case == "directory":
        file.mkdir()
    seen = clock.offsets(None if case == "unset" else file)
    for name in WALL_CLOCKS:
        assert seen[name] == pytest.approx(0, abs=0.5), name


def test_a_jump_takes_effect_at_once(clock: Clock, tmp_path: Path) -> None:
    file = offset_file(tmp_path, HOUR)
    seen = clock.run("jump", str(file), str(47 * HOUR), file=file)
    assert float(seen["before"][0]) == pytest.approx(HOUR, abs=0.5)
    assert float(seen["after"][0]) == pytest.approx(47 * HOUR, abs=0.5)
    assert float(seen["time"][0]) == pytest.approx(47 * HOUR, abs=1.5)


@pytest.mark.parametrize("seconds", [0, 47 * HOUR])
def test_waits_until_a_time_of_the_moved_clock_last_as_long_as_real_ones(
    clock: Clock, tmp_path: Path, seconds: float
) -> None:
    seen = clock.run("waits", file=offset_file(tmp_path, seconds))
    assert seen.pop("cond_timedwait(malformed)")[0] != "timeout"  # EINVAL, as without the library
    assert len(seen) == 9
    for name, (result, lasted) in seen.items():
        assert result == ("ok" if name in ("clock_nanosleep", "timerfd") else "timeout"), name
        assert 0.04 < float(lasted) < 5, name


def test_kernel_time_stamps_are_refused_and_other_socket_options_are_not(clock: Clock, tmp_path: Path) -> None:
    seen = clock.run("sockets", file=offset_file(tmp_path, HOUR))
    assert (seen["timestamp"], seen["timestampns"], seen["rcvbuf"]) == (["92"], ["92"], ["0"])  # 92: ENOPROTOOPT


def test_a_missing_file_is_looked_for_once(clock: Clock, tmp_path: Path) -> None:
    """Programs ask for the time millions of times: a file that appears later is not noticed, nor looked for."""
    file = tmp_path / "offset"
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace, which counts the calls, is not on this machine")
    done = subprocess.run(
        [strace, "-f", "-e", "trace=open,openat", "-E", f"LD_PRELOAD={clock.library}", "-E", f"LABCLOCK={file}",
         str(clock.probe), "offsets"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stderr.count(str(file)) == 1
