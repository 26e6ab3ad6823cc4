// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char output[16384];
static int own_stderr, read_fd;

static void capture(void)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    own_stderr = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    read_fd = fds[0];
}

static void release(void)
{
    dup2(own_stderr, STDERR_FILENO);
    close(own_stderr);
    ssize_t n = read(read_fd, output, sizeof(output) - 1);
    output[n > 0 ? n : 0] = '\0';
    close(read_fd);
}

static void test_a_line_has_time_level_area_and_text(void **state)
{
    capture();
    errno = ENOENT;
    log_warning("folder", "%s is gone", "shop.yaml");
    int kept = errno;
    release();
    assert_int_equal(kept, ENOENT);
    int day, ms, end = 0;
    assert_int_equal(sscanf(output, "20%*2d-%*2d-%2dT%*2d:%*2d:%*2d.%3dZ%n", &day, &ms, &end), 2);
    assert_int_equal(end, 24);
    assert_string_equal(output + end, " warning folder: shop.yaml is gone\n");
}

static void test_lines_above_the_level_are_not_written(void **state)
{
    capture();
    log_debug("test", "hidden");
    log_set_level(LOG_DEBUG);
    log_debug("test", "shown");
    log_set_level(LOG_ERROR);
    log_warning("test", "hidden");
    log_set_level(LOG_INFO);
    release();
    assert_non_null(strstr(output, "debug test: shown\n"));
    assert_null(strstr(output, "hidden"));
}

static void test_control_characters_do_not_forge_a_second_line(void **state)
{
    capture();
    log_info("test", "%s", "a\nb\x1b[31m");
    release();
    assert_non_null(strstr(output, "info test: a b [31m\n"));
}

static void test_a_long_text_is_cut_to_one_line(void **state)
{
    char text[9000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    capture();
    log_error("test", "%s", text);
    release();
    assert_true(strlen(output) <= 4096);
    assert_string_equal(output + strlen(output) - 3, "xx\n");
}

static void test_level_names_are_parsed_back(void **state)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        enum log_level level;
        assert_true(log_level_parse(log_level_name((enum log_level)i), &level));
        assert_int_equal(level, i);
    }
    enum log_level level;
    assert_false(log_level_parse("loud", &level));
    assert_int_equal(log_get_level(), LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_has_time_level_area_and_text),
        cmocka_unit_test(test_lines_above_the_level_are_not_written),
        cmocka_unit_test(test_control_characters_do_not_forge_a_second_line),
        cmocka_unit_test(test_a_long_text_is_cut_to_one_line),
        cmocka_unit_test(test_level_names_are_parsed_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
