// SPDX-License-Identifier: Apache-2.0
#include "proxy/access_log.h"

#include "base/clock.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 10000 }; // for what must happen; never waited out when all is well

static char folder[] = "/tmp/sluicegate-access-log-XXXXXX";

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    return rmdir(folder);
}

static void path_in_folder(char out[PATH_MAX], const char *name)
{
    snprintf(out, PATH_MAX, "%s/%s", folder, name);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static struct access_log *open_log(const char *path, unsigned n_channels)
{
    struct buf error = {0};
    struct access_log *log = access_log_open(path, n_channels, &error);
    if (!log)
        fail_msg("%s", error.data);
    return log;
}

// false: the ring is full.
static bool add_line(struct access_log_channel *channel, unsigned worker, unsigned number)
{
    char *room = access_log_reserve(channel);
    if (!room)
        return false;
    int len =
        snprintf(room, ACCESS_LOG_LINE_MAX, "worker %u line %u of the test\n", worker, number);
    access_log_commit(channel, (size_t)len);
    return true;
}

static void read_file(const char *path, struct buf *out)
{
    char block[65536];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (size_t n; (n = fread(block, 1, sizeof(block), file)) > 0;)
        buf_add(out, block, n);
    fclose(file);
}

// Every line is whole and each worker's numbers rise by one. Returns the number of lines.
static unsigned check_lines(struct str text, unsigned n_workers)
{
    unsigned next[8] = {0}, n = 0;
    struct str line;
    assert_true(str_has_suffix(text, STR("\n")));
    text.len--;
    while (str_next(&text, '\n', &line)) {
        char copy[64] = "";
        unsigned worker, number;
        assert_true(line.len < sizeof(copy));
        memcpy(copy, line.ptr, line.len);
        assert_int_equal(sscanf(copy, "worker %u line %u of the test", &worker, &number), 2);
        assert_true(worker < n_workers);
        assert_int_equal(number, next[worker]);
        next[worker]++;
        n++;
    }
    return n;
}

static void test_the_first_line_of_a_chunk_asks_for_a_flush_timer(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "timer");
    struct access_log *log = open_log(path, 1);
    struct access_log_channel *channel = access_log_channel(log, 0);
    memcpy(access_log_reserve(channel), "a\n", 2);
    assert_true(access_log_commit(channel, 2));
    memcpy(access_log_reserve(channel), "b\n", 2);
    assert_false(access_log_commit(channel, 2));
    access_log_flush(channel);
    access_log_flush(channel); // nothing there: no effect
    memcpy(access_log_reserve(channel), "c\n", 2);
    assert_true(access_log_commit(channel, 2));
    access_log_close(log); // writes what no flush handed over, too
    struct buf text = {0};
    read_file(path, &text);
    assert_string_equal(text.data, "a\nb\nc\n");
    buf_fini(&text);
    unlink(path);
}

enum { WORKERS = 3, LINES = 40000 };

struct job {
    struct access_log_channel *channel;
    unsigned worker;
};

static void *write_lines(void *arg)
{
    struct job *job = arg;
    for (unsigned i = 0; i < LINES; i++) {
        while (!add_line(job->channel, job->worker, i))
            nap();
        if (i % 1000 == 0)
            access_log_flush(job->channel);
    }
    access_log_flush(job->channel);
    return NULL;
}

static void test_lines_of_several_workers_arrive_whole_and_in_order(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "workers");
    struct access_log *log = open_log(path, WORKERS);
    pthread_t threads[WORKERS];
    struct job jobs[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        jobs[i] = (struct job){access_log_channel(log, i), i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(access_log_write_errors(log), 0);
    access_log_close(log);
    struct buf text = {0};
    read_file(path, &text);
    assert_int_equal(check_lines(buf_str(&text), WORKERS), WORKERS * LINES);
    buf_fini(&text);
    unlink(path);
}

// Fills the ring behind a pipe that nobody reads. Returns the number of lines taken.
static unsigned fill(struct access_log_channel *channel)
{
    unsigned n = 0;
    while (n < 1000000 && add_line(channel, 0, n))
        n++;
    return n;
}

static void test_a_blocked_pipe_costs_lines_but_never_blocks_a_worker(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    struct access_log *log = open_log(path, 1);
    struct access_log_channel *channel = access_log_channel(log, 0);
    unsigned taken = fill(channel);
    assert_in_range(taken, 16 * 1500, 24 * 2500); // 16 chunks and what the pipe holds
    assert_null(access_log_reserve(channel));

    struct buf text = {0};
    unsigned n_lines = 0;
    for (int64_t end = clock_monotonic_ms() + WAIT_MS; n_lines < taken;) {
        char block[65536];
        ssize_t n = read(reader, block, sizeof(block));
        if (n > 0)
            buf_add(&text, block, (size_t)n);
        else
            nap();
        for (ssize_t i = 0; i < n; i++)
            n_lines += block[i] == '\n';
        assert_true(clock_monotonic_ms() < end);
    }
    assert_int_equal(check_lines(buf_str(&text), 1), taken);
    // The chunks have come back.
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    while (!access_log_reserve(channel) && clock_monotonic_ms() < end)
        nap();
    assert_true(add_line(channel, 0, 0));
    access_log_close(log);
    close(reader);
    buf_fini(&text);
    unlink(path);
}

static void test_closing_waits_two_seconds_for_a_blocked_pipe_and_no_longer(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct access_log *log = open_log(path, 1);
    fill(access_log_channel(log, 0));
    int64_t begin_ms = clock_monotonic_ms();
    access_log_close(log);
    int64_t took_ms = clock_monotonic_ms() - begin_ms;
    assert_in_range(took_ms, 1900, 4000);
    close(reader);
    unlink(path);
}

static bool file_has(const char *path, const char *text)
{
    struct stat stat_;
    if (stat(path, &stat_) < 0)
        return false;
    struct buf content = {0};
    read_file(path, &content);
    bool has = str_is(buf_str(&content), text);
    buf_fini(&content);
    return has;
}

static void wait_for_file(const char *path, const char *text)
{
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    while (!file_has(path, text) && clock_monotonic_ms() < end)
        nap();
    assert_true(file_has(path, text));
}

static void put(struct access_log_channel *channel, const char *line)
{
    char *room = access_log_reserve(channel);
    assert_non_null(room);
    memcpy(room, line, strlen(line));
    access_log_commit(channel, strlen(line));
    access_log_flush(channel);
}

static void test_after_rename_and_reopen_lines_go_to_a_new_file(void **state)
{
    char path[PATH_MAX], old[PATH_MAX];
    path_in_folder(path, "log");
    path_in_folder(old, "log.1");
    struct access_log *log = open_log(path, 1);
    struct access_log_channel *channel = access_log_channel(log, 0);
    put(channel, "before\n");
    wait_for_file(path, "before\n");
    assert_int_equal(rename(path, old), 0);
    put(channel, "between\n");
    wait_for_file(old, "before\nbetween\n");
    access_log_reopen(log);
    wait_for_file(path, ""); // the writer does it without a line to write
    put(channel, "after\n");
    wait_for_file(path, "after\n");
    access_log_close(log);
    assert_true(file_has(old, "before\nbetween\n"));
    unlink(path);
    unlink(old);
}

static void test_what_is_in_the_file_stays(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "log");
    struct access_log *log = open_log(path, 1);
    put(access_log_channel(log, 0), "one\n");
    access_log_close(log);
    log = open_log(path, 1);
    put(access_log_channel(log, 0), "two\n");
    access_log_close(log);
    assert_true(file_has(path, "one\ntwo\n"));
    unlink(path);
}

static void test_a_reopen_that_fails_keeps_the_old_file(void **state)
{
    char inner[PATH_MAX], moved[PATH_MAX], path[PATH_MAX + 8], old[PATH_MAX + 8];
    path_in_folder(inner, "inner");
    path_in_folder(moved, "moved");
    snprintf(path, sizeof(path), "%s/log", inner);
    snprintf(old, sizeof(old), "%s/log", moved);
    assert_int_equal(mkdir(inner, 0700), 0);
    struct access_log *log = open_log(path, 1);
    assert_int_equal(rename(inner, moved), 0);
    access_log_reopen(log);
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    while (access_log_write_errors(log) == 0 && clock_monotonic_ms() < end)
        nap();
    assert_int_equal(access_log_write_errors(log), 1);
    put(access_log_channel(log, 0), "still here\n");
    wait_for_file(old, "still here\n");
    access_log_close(log);
    unlink(old);
    rmdir(moved);
}

static void test_a_full_disk_is_counted_and_does_not_stop_anybody(void **state)
{
    struct access_log *log = open_log("/dev/full", 1);
    struct access_log_channel *channel = access_log_channel(log, 0);
    for (unsigned i = 1; i <= 3; i++) {
        put(channel, "lost\n");
        int64_t end = clock_monotonic_ms() + WAIT_MS;
        while (access_log_write_errors(log) < i && clock_monotonic_ms() < end)
            nap();
        assert_int_equal(access_log_write_errors(log), i);
    }
    access_log_close(log);
}

static void test_a_line_that_a_full_disk_has_cut_is_not_glued_to_the_next(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "cut");
    struct access_log *log = open_log(path, 1);
    struct access_log_channel *channel = access_log_channel(log, 0);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 9; // the writer has SIGXFSZ blocked: EFBIG
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    put(channel, "first\nsecond\n");
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    while (access_log_write_errors(log) == 0 && clock_monotonic_ms() < end)
        nap();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    put(channel, "third\n");
    access_log_close(log);
    assert_true(file_has(path, "first\nsec\nthird\n"));
    unlink(path);
}

static void test_a_path_that_can_not_be_opened_says_why(void **state)
{
    struct buf error = {0};
    assert_null(access_log_open("/nowhere/at/all", 1, &error));
    assert_string_equal(error.data, "access log /nowhere/at/all: No such file or directory");
    buf_fini(&error);
    access_log_close(NULL);
}

// A child whose standard output is `out` logs `n_lines` there; exits 0 when the descriptor that it
// shares with us has kept its flags.
static pid_t log_to_stdout(int out, unsigned n_lines, uid_t uid)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct buf error = {0};
    if (dup2(out, STDOUT_FILENO) < 0 || (uid != 0 && setuid(uid) != 0))
        _exit(2);
    struct access_log *log = access_log_open("-", 1, &error);
    if (!log)
        _exit(3);
    for (unsigned i = 0; i < n_lines; i++) {
        while (!add_line(access_log_channel(log, 0), 0, i))
            nap();
    }
    access_log_close(log);
    _exit(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK ? 4 : 0);
}

static void check_stdout(int ours, int theirs, uid_t uid)
{
    enum { STDOUT_LINES = 60000 };
    pid_t pid = log_to_stdout(theirs, STDOUT_LINES, uid);
    assert_true(pid > 0);
    close(theirs);
    struct buf text = {0};
    char block[3000];
    for (ssize_t n; (n = read(ours, block, sizeof(block))) > 0;)
        buf_add(&text, block, (size_t)n);
    close(ours);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(check_lines(buf_str(&text), 1), STDOUT_LINES);
    buf_fini(&text);
}

static void test_standard_output_may_be_a_pipe(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    check_stdout(fds[0], fds[1], 0);
}

static void test_standard_output_may_be_a_pipe_of_another_user(void **state)
{
    int fds[2];
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(fds), 0);
    check_stdout(fds[0], fds[1], 65534);
}

static void test_standard_output_may_be_a_socket(void **state)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    check_stdout(fds[0], fds[1], 0);
}

static void test_the_longest_line_fits_to_the_end_of_a_chunk(void **state)
{
    char path[PATH_MAX];
    path_in_folder(path, "long");
    struct access_log *log = open_log(path, 1);
    struct access_log_channel *channel = access_log_channel(log, 0);
    for (int i = 0; i < 9; i++) {
        char *room = access_log_reserve(channel);
        assert_non_null(room);
        memset(room, 'a' + i, ACCESS_LOG_LINE_MAX - 1);
        room[ACCESS_LOG_LINE_MAX - 1] = '\n';
        access_log_commit(channel, ACCESS_LOG_LINE_MAX);
    }
    access_log_close(log);
    struct buf text = {0};
    read_file(path, &text);
    assert_int_equal(text.len, 9 * ACCESS_LOG_LINE_MAX);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(text.data[i * ACCESS_LOG_LINE_MAX], 'a' + i);
        assert_int_equal(text.data[(i + 1) * ACCESS_LOG_LINE_MAX - 1], '\n');
    }
    buf_fini(&text);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_line_of_a_chunk_asks_for_a_flush_timer),
        cmocka_unit_test(test_lines_of_several_workers_arrive_whole_and_in_order),
        cmocka_unit_test(test_a_blocked_pipe_costs_lines_but_never_blocks_a_worker),
        cmocka_unit_test(test_closing_waits_two_seconds_for_a_blocked_pipe_and_no_longer),
        cmocka_unit_test(test_after_rename_and_reopen_lines_go_to_a_new_file),
        cmocka_unit_test(test_what_is_in_the_file_stays),
        cmocka_unit_test(test_a_reopen_that_fails_keeps_the_old_file),
        cmocka_unit_test(test_a_full_disk_is_counted_and_does_not_stop_anybody),
        cmocka_unit_test(test_a_line_that_a_full_disk_has_cut_is_not_glued_to_the_next),
        cmocka_unit_test(test_a_path_that_can_not_be_opened_says_why),
        cmocka_unit_test(test_standard_output_may_be_a_pipe),
        cmocka_unit_test(test_standard_output_may_be_a_pipe_of_another_user),
        cmocka_unit_test(test_standard_output_may_be_a_socket),
        cmocka_unit_test(test_the_longest_line_fits_to_the_end_of_a_chunk),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
