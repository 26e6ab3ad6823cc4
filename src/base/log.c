// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/str.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 }; // at most PIPE_BUF: lines of several threads never mix

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static _Atomic int current_level = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static size_t clamp(int printed, size_t room)
{
    if (printed < 0)
        return 0;
    return (size_t)printed < room ? (size_t)printed : room - 1;
}

void log_write(enum log_level level, const char *area, const char *format, ...)
{
    if (level > log_get_level())
        return;
    int saved = errno;
    char line[LINE_MAX_BYTES];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t room = sizeof(line) - 1; // the newline
    size_t len = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &utc);
    len += clamp(snprintf(line + len, room - len, ".%03ldZ %s %s: ", now.tv_nsec / 1000000,
                          level_names[level], area),
                 room - len);
    size_t text = len;
    va_list args;
    va_start(args, format);
    len += clamp(vsnprintf(line + len, room - len, format, args), room - len);
    va_end(args);
    // One line stays one line, whatever a name or a message brought along.
    for (size_t i = text; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    }
    line[len++] = '\n';
    ssize_t n = write(STDERR_FILENO, line, len);
    (void)n; // there is nobody left to tell
    errno = saved;
}
