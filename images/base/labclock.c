/*
 * labclock: gives a program the lab's wall clock instead of the machine's.
 *
 * Preloaded (LD_PRELOAD) into an unmodified server program, it adds an offset to everything the program learns about
 * the wall clock. The offset is one signed 64-bit number of nanoseconds, in the machine's byte order, at the start of
 * the file named by the environment variable LABCLOCK. The file is mapped, so whoever writes those eight bytes moves
 * the clock of every reader at once, without a system call on either side. Monotonic clocks, which pace time-outs and
 * retries, stay real: two days of TTL pass in no time while a silent server still takes its 1.5 s.
 *
 *   LABCLOCK unset, file missing, unreadable or shorter than 8 bytes: the offset is 0, for good (it is opened once).
 *   The file must keep its length while it is mapped: a reader of a truncated mapping dies of SIGBUS.
 *
 * Deadlines that a program states as a point on its wall clock are translated back before the kernel sees them;
 * otherwise a wait of 50 ms in a lab that stands 47 hours ahead would last 47 hours.
 *
 * Not covered: statically linked programs, timer_settime(), futexes called without the C library, time stamps of
 * files. Needs glibc >= 2.30 (pthread_cond_clockwait) on a 64-bit machine.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define NS_PER_S 1000000000L

_Static_assert(sizeof(time_t) == 8, "64-bit machines only: there is one time_t, and an aligned offset is read whole");

/* ---- the offset ---- */

static const int64_t none = 0;
static const int64_t *mapped; /* NULL until the first question about the time */

/*
 * Runs at the first question, which may come from inside malloc (jemalloc asks for the time while it starts, before
 * any constructor of ours has run): nothing here allocates or takes a lock. Two threads that come here together map
 * the file twice, which does no harm.
 */
static const int64_t *map_offset(void)
{
    const int64_t *found = &none;
    const int saved = errno; /* time() and friends must not disturb it */
    const char *path = getenv("LABCLOCK");
    const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        struct stat st;
        if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(int64_t)) {
            void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
            if (page != MAP_FAILED)
                found = page;
        }
        close(fd);
    }
    errno = saved;
    __atomic_store_n(&mapped, found, __ATOMIC_RELEASE);
    return found;
}

static int64_t offset_ns(void)
{
    const int64_t *at = __atomic_load_n(&mapped, __ATOMIC_ACQUIRE);

    if (__builtin_expect(at == NULL, 0))
        at = map_offset();
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* `t` moved by `ns` (which may be negative), with tv_nsec in [0, 1e9) again. */
static struct timespec moved(struct timespec t, int64_t ns)
{
    t.tv_sec += ns / NS_PER_S;
    t.tv_nsec += ns % NS_PER_S;
    if (t.tv_nsec >= NS_PER_S) {
        t.tv_nsec -= NS_PER_S;
        t.tv_sec++;
    } else if (t.tv_nsec < 0) {
        t.tv_nsec += NS_PER_S;
        t.tv_sec--;
    }
    return t;
}

static bool is_wall_clock(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_REALTIME_ALARM ||
           clock == CLOCK_TAI;
}

/* A deadline of the lab's wall clock on the machine's. A malformed one is left alone, for the C library to refuse. */
static struct timespec real_deadline(const struct timespec *deadline)
{
    if (deadline->tv_nsec < 0 || deadline->tv_nsec >= NS_PER_S)
        return *deadline;
    return moved(*deadline, -offset_ns());
}

/*
 * Some interfaces do not say which clock a deadline is on (it is a property of the condition variable or of the
 * descriptor). The number says it: beyond 1e9 s it is a date after September 2001, below it is an uptime of less
 * than 31 years.
 */
static bool looks_like_a_date(const struct timespec *deadline)
{
    return deadline->tv_sec > 1000000000;
}

/* ---- the functions behind ours ---- */

static struct {
    int (*clock_gettime)(clockid_t, struct timespec *);
    int (*clock_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
    int (*cond_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    int (*sem_clockwait)(sem_t *, clockid_t, const struct timespec *);
    int (*mutex_clocklock)(pthread_mutex_t *, clockid_t, const struct timespec *);
    int (*rwlock_clockrdlock)(pthread_rwlock_t *, clockid_t, const struct timespec *);
    int (*rwlock_clockwrlock)(pthread_rwlock_t *, clockid_t, const struct timespec *);
} real;

/*
 * The *_clock* family serves the *_timed* one too: pthread_cond_timedwait exists in two versions with different
 * structures, and dlsym() may give the wrong one.
 */
__attribute__((constructor)) static void find_real_functions(void)
{
    *(void **)&real.clock_nanosleep = dlsym(RTLD_NEXT, "clock_nanosleep");
    *(void **)&real.cond_clockwait = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    *(void **)&real.sem_clockwait = dlsym(RTLD_NEXT, "sem_clockwait");
    *(void **)&real.mutex_clocklock = dlsym(RTLD_NEXT, "pthread_mutex_clocklock");
    *(void **)&real.rwlock_clockrdlock = dlsym(RTLD_NEXT, "pthread_rwlock_clockrdlock");
    *(void **)&real.rwlock_clockwrlock = dlsym(RTLD_NEXT, "pthread_rwlock_clockwrlock");
    /* The machine's own answer, which comes from the vDSO without a system call. */
    *(void **)&real.clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    offset_ns(); /* now, while the path is sure to exist: the program may change its root directory later */
}

/* Another library's constructor may wait before ours has run. clock_gettime() never comes here: dlsym() may allocate. */
#define REAL(function) (real.function != NULL ? real.function : (find_real_functions(), real.function))

static int machine_clock(clockid_t clock, struct timespec *now)
{
    if (__builtin_expect(real.clock_gettime != NULL, 1))
        return real.clock_gettime(clock, now);
    return (int)syscall(SYS_clock_gettime, clock, now); /* early in the start of the program, perhaps inside malloc */
}

/* ---- asking for the time ---- */

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    const int result = machine_clock(clock, now);

    if (result == 0 && is_wall_clock(clock))
        *now = moved(*now, offset_ns());
    return result;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec t;

    if (clock_gettime(CLOCK_REALTIME, &t) != 0)
        return -1;
    now->tv_sec = t.tv_sec;
    now->tv_usec = t.tv_nsec / 1000;
    if (zone != NULL)
        *(struct timezone *)zone = (struct timezone){0, 0};
    return 0;
}

EXPORT time_t time(time_t *now)
{
    struct timespec t;

    if (clock_gettime(CLOCK_REALTIME_COARSE, &t) != 0) /* the one behind the C library's time(), and the cheapest */
        return (time_t)-1;
    if (now != NULL)
        *now = t.tv_sec;
    return t.tv_sec;
}

EXPORT int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* ---- waiting until a time ---- */

EXPORT int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                  const struct timespec *deadline)
{
    const struct timespec until = is_wall_clock(clock) ? real_deadline(deadline) : *deadline;

    return REAL(cond_clockwait)(cond, mutex, clock, &until);
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                                  const struct timespec *restrict deadline)
{
    const clockid_t clock = looks_like_a_date(deadline) ? CLOCK_REALTIME : CLOCK_MONOTONIC;

    return pthread_cond_clockwait(cond, mutex, clock, deadline);
}

EXPORT int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict deadline)
{
    const struct timespec until = is_wall_clock(clock) ? real_deadline(deadline) : *deadline;

    return REAL(sem_clockwait)(sem, clock, &until);
}

EXPORT int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline)
{
    return sem_clockwait(sem, CLOCK_REALTIME, deadline);
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *restrict mutex, clockid_t clock,
                                   const struct timespec *restrict deadline)
{
    const struct timespec until = is_wall_clock(clock) ? real_deadline(deadline) : *deadline;

    return REAL(mutex_clocklock)(mutex, clock, &until);
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline)
{
    return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, deadline);
}

EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t *restrict lock, clockid_t clock,
                                      const struct timespec *restrict deadline)
{
    const struct timespec until = is_wall_clock(clock) ? real_deadline(deadline) : *deadline;

    return REAL(rwlock_clockrdlock)(lock, clock, &until);
}

EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict deadline)
{
    return pthread_rwlock_clockrdlock(lock, CLOCK_REALTIME, deadline);
}

EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t *restrict lock, clockid_t clock,
                                      const struct timespec *restrict deadline)
{
    const struct timespec until = is_wall_clock(clock) ? real_deadline(deadline) : *deadline;

    return REAL(rwlock_clockwrlock)(lock, clock, &until);
}

EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock, const struct timespec *restrict deadline)
{
    return pthread_rwlock_clockwrlock(lock, CLOCK_REALTIME, deadline);
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec t = *until;

    if ((flags & TIMER_ABSTIME) != 0 && is_wall_clock(clock))
        t = real_deadline(until);
    return REAL(clock_nanosleep)(clock, flags, &t, left);
}

EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *before)
{
    struct itimerspec timer = *wanted;

    if ((flags & TFD_TIMER_ABSTIME) != 0 && looks_like_a_date(&timer.it_value))
        timer.it_value = real_deadline(&timer.it_value);
    return (int)syscall(SYS_timerfd_settime, fd, flags, &timer, before);
}

/* ---- the kernel's time stamps ---- */

/*
 * A packet's receive time stamp is the machine's time. A program that compares it with the wall clock (pdns-recursor)
 * would take every packet for hours old and drop it; told that there are no stamps, it does without.
 */
EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    if (level == SOL_SOCKET && (option == SO_TIMESTAMP || option == SO_TIMESTAMPNS || option == SO_TIMESTAMPING ||
                                option == SO_TIMESTAMP_NEW || option == SO_TIMESTAMPNS_NEW ||
                                option == SO_TIMESTAMPING_NEW)) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return (int)syscall(SYS_setsockopt, fd, level, option, value, length);
}
