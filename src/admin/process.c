// SPDX-License-Identifier: Apache-2.0
#include "admin/process.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// The first bytes of a small file below /proc, NUL-terminated; empty when it can't be read.
static void read_file(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    close(fd);
}

static uint64_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    uint64_t n = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n > 0 ? n - 1 : 0; // without the one that this was read through
}

// Seconds since 1970 at which the machine started; it does not change, so it is read once.
static double boot_seconds(void)
{
    static double seconds;
    if (seconds > 0)
        return seconds;
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "btime ", 6) == 0)
            seconds = strtod(line + 6, NULL);
    }
    if (file)
        fclose(file);
    return seconds;
}

void process_read(struct process_facts *ret_facts)
{
    *ret_facts = (struct process_facts){.open_fds = count_fds()};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret_facts->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        ret_facts->max_fds = limit.rlim_cur;

    char text[1024];
    read_file("/proc/self/stat", text, sizeof text);
    // The second field is the program's name and may hold anything; the last ')' ends it.
    char *rest = strrchr(text, ')');
    unsigned field = 2;
    for (char *save, *word = rest ? strtok_r(rest + 1, " ", &save) : NULL; word;
         word = strtok_r(NULL, " ", &save)) {
        switch (++field) {
        case 20:
            ret_facts->threads = strtoull(word, NULL, 10);
            break;
        case 22:
            ret_facts->start_seconds =
                boot_seconds() + strtod(word, NULL) / (double)sysconf(_SC_CLK_TCK);
            break;
        case 23:
            ret_facts->virtual_bytes = strtoull(word, NULL, 10);
            break;
        case 24:
            ret_facts->resident_bytes = strtoull(word, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
            break;
        default:
            break;
        }
    }
}
