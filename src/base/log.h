// SPDX-License-Identifier: Apache-2.0
// The program's own log: one line to stderr, `2026-01-05T10:00:00.123Z level area: text`. Any
// thread. Library code returns diagnostics and errors instead; only cli, proxy, source's watcher
// and admin write here. The level can be changed at run time (admin /logging?level=debug).
#pragma once
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *name, enum log_level *ret_level);
void log_write(enum log_level level, const char *area, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(area, ...) log_write(LOG_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_write(LOG_WARNING, area, __VA_ARGS__)
#define log_info(area, ...) log_write(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_write(LOG_DEBUG, area, __VA_ARGS__)
