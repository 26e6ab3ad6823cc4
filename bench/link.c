// SPDX-License-Identifier: Apache-2.0
// A link with a delay, for kernels without netem: two tun devices, each in a network namespace of
// its own, and this program between them. It hands every packet on DELAY microseconds after it
// came, in order; a round trip takes twice that.
//
//   link NAMESPACE NAMESPACE DEVICE DELAY_US SECONDS    both devices are called DEVICE
//
// NAMESPACE is a file such as /run/netns/a. Says "ready" once the devices are there (whoever
// started it gives them addresses), runs until SIGTERM, SECONDS at most, and then prints one line
// of JSON: packets, those dropped because too many were under way, and how late they were passed
// on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

// 4096 packets of 1500 bytes are 80 ms of 600 Mbit/s. Late is what a measurement would notice.
enum { PACKET_MAX = 2048, UNDER_WAY_MAX = 4096, LATE_NS = 300 * 1000, S_NS = 1000 * 1000 * 1000 };

struct packet {
    int64_t due_ns;
    size_t len;
    char bytes[PACKET_MAX];
};

// Packets of one direction, in the order they came: all wait for the same time.
struct queue {
    struct packet *packets;
    size_t first, count;
};

static struct {
    int fd[2];
    struct queue from[2];
    int64_t delay_ns;
    uint64_t passed, dropped, late;
    int64_t late_max_ns, late_sum_ns;
} the;

static volatile sig_atomic_t is_ended;

static void on_end(int signal_number)
{
    is_ended = signal_number;
}

static void die(const char *what)
{
    fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * S_NS + t.tv_nsec;
}

// A tun device belongs to the namespace in which /dev/net/tun is opened.
static int open_device(const char *namespace_path, const char *name)
{
    int ns = open(namespace_path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        die(namespace_path);
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        die(name);
    return fd;
}

static void take_in(int side)
{
    static char over[PACKET_MAX];
    struct queue *q = &the.from[side];
    for (;;) {
        bool is_full = q->count == UNDER_WAY_MAX;
        struct packet *p = &q->packets[(q->first + q->count) % UNDER_WAY_MAX];
        ssize_t n = read(the.fd[side], is_full ? over : p->bytes, PACKET_MAX);
        if (n <= 0) {
            // EIO: the device is not up (yet).
            if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EIO)
                die("read");
            return;
        }
        if (is_full) {
            the.dropped++;
            continue;
        }
        p->len = (size_t)n;
        p->due_ns = now_ns() + the.delay_ns;
        q->count++;
    }
}

static void hand_on(int side)
{
    struct queue *q = &the.from[side];
    for (int64_t now = now_ns(); q->count && q->packets[q->first].due_ns <= now; now = now_ns()) {
        struct packet *p = &q->packets[q->first];
        int64_t late = now - p->due_ns;
        the.late += late > LATE_NS;
        the.late_sum_ns += late;
        if (late > the.late_max_ns)
            the.late_max_ns = late;
        if (write(the.fd[!side], p->bytes, p->len) == (ssize_t)p->len)
            the.passed++;
        else
            the.dropped++;
        q->first = (q->first + 1) % UNDER_WAY_MAX;
        q->count--;
    }
}

// NULL: nothing is under way.
static const struct timespec *until_next(struct timespec *out)
{
    int64_t due = INT64_MAX;
    for (int side = 0; side < 2; side++) {
        const struct queue *q = &the.from[side];
        if (q->count && q->packets[q->first].due_ns < due)
            due = q->packets[q->first].due_ns;
    }
    if (due == INT64_MAX)
        return NULL;
    int64_t left = due - now_ns();
    if (left < 0)
        left = 0;
    *out = (struct timespec){.tv_sec = left / S_NS, .tv_nsec = left % S_NS};
    return out;
}

// Signals are open during the wait alone, so that none is missed between the question and it.
static void run(int epoll, const sigset_t *open_signals)
{
    while (!is_ended) {
        struct timespec wait;
        struct epoll_event events[2];
        int n = epoll_pwait2(epoll, events, 2, until_next(&wait), open_signals);
        if (n < 0 && errno != EINTR)
            die("epoll_pwait2");
        for (int i = 0; i < n; i++)
            take_in((int)events[i].data.u32);
        for (int side = 0; side < 2; side++)
            hand_on(side);
    }
}

// The link is hardly ever busy, and what it has to do is due at once: it goes before all others,
// and cores that have nothing to do stay awake for it (waking up takes a virtual machine 50 us and
// more, several times a round trip). Without the right to that it runs as they do, and its figures
// at the end tell.
static void be_on_time(void)
{
    struct sched_param first = {.sched_priority = 1};
    (void)sched_setscheduler(0, SCHED_FIFO, &first);
    prctl(PR_SET_TIMERSLACK, 1);
    int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC); // holds as long as it is open
    int32_t longest_us = 0;
    if (fd >= 0 && write(fd, &longest_us, sizeof longest_us) < 0)
        close(fd);
}

static void watch_signals(sigset_t *open_signals, unsigned seconds_max)
{
    sigset_t ends;
    sigemptyset(&ends);
    static const int signals[] = {SIGTERM, SIGINT, SIGALRM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_handler = on_end};
        sigaction(signals[i], &action, NULL);
        sigaddset(&ends, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &ends, open_signals);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigdelset(open_signals, signals[i]);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    alarm(seconds_max);
}

int main(int argc, char **argv)
{
    long delay_us = argc == 6 ? atol(argv[4]) : -1, seconds = argc == 6 ? atol(argv[5]) : 0;
    if (delay_us < 0 || delay_us > 1000 * 1000 || seconds < 1 || seconds > 3600) {
        fprintf(stderr, "usage: link NAMESPACE NAMESPACE DEVICE DELAY_US SECONDS\n");
        return 2;
    }
    sigset_t open_signals;
    watch_signals(&open_signals, (unsigned)seconds);
    the.delay_ns = (int64_t)delay_us * 1000;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    for (int side = 0; side < 2; side++) {
        the.fd[side] = open_device(argv[1 + side], argv[3]);
        the.from[side].packets = malloc(UNDER_WAY_MAX * sizeof(struct packet));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)side};
        if (!the.from[side].packets || epoll_ctl(epoll, EPOLL_CTL_ADD, the.fd[side], &event) < 0)
            die("epoll_ctl");
    }
    be_on_time();
    printf("ready\n");
    fflush(stdout);
    run(epoll, &open_signals);
    printf("{\"passed\": %llu, \"dropped\": %llu, \"late\": %llu, \"late_max_us\": %lld, "
           "\"late_mean_us\": %.1f}\n",
           (unsigned long long)the.passed, (unsigned long long)the.dropped,
           (unsigned long long)the.late, (long long)the.late_max_ns / 1000,
           the.passed ? (double)the.late_sum_ns / 1e3 / (double)the.passed : 0.0);
    return 0;
}
