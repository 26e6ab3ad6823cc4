// SPDX-License-Identifier: Apache-2.0
#include "source/text_files.h"
#include "base/check.h"
#include "base/map.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct version { // tells one content of a file from another; all 0: there is none
    uint64_t device, inode, bytes;
    int64_t changed_ns;
};

struct text_file {
    char *path;
    char *text; // NULL: could not be read
    size_t len;
    const char *why;
    struct version read, seen; // seen: by the last poll
    bool is_used;
};

struct text_files {
    struct map *by_path;
};

struct text_files *text_files_create(void)
{
    struct text_files *files = calloc(1, sizeof(*files));
    CHECK(files);
    files->by_path = map_create();
    return files;
}

// Keys do not stay longer in memory than they are needed.
static void drop_text(struct text_file *file)
{
    if (file->text)
        explicit_bzero(file->text, file->len);
    free(file->text);
    file->text = NULL;
    file->len = 0;
}

static void destroy(struct text_file *file)
{
    drop_text(file);
    free(file->path);
    free(file);
}

void text_files_destroy(struct text_files *files)
{
    if (!files)
        return;
    size_t cursor = 0;
    struct str path;
    void *file;
    while (map_next(files->by_path, &cursor, &path, &file))
        destroy(file);
    map_destroy(files->by_path);
    free(files);
}

void text_files_begin(struct text_files *files)
{
    size_t cursor = 0;
    struct str path;
    void *file;
    while (map_next(files->by_path, &cursor, &path, &file))
        ((struct text_file *)file)->is_used = false;
}

void text_files_end(struct text_files *files)
{
    size_t n = 0, cursor = 0;
    struct str path;
    void *value;
    struct text_file **unused = malloc((map_count(files->by_path) + 1) * sizeof(*unused));
    CHECK(unused);
    while (map_next(files->by_path, &cursor, &path, &value)) {
        if (!((struct text_file *)value)->is_used)
            unused[n++] = value;
    }
    for (size_t i = 0; i < n; i++) {
        map_remove(files->by_path, str_of(unused[i]->path));
        destroy(unused[i]);
    }
    free(unused);
}

static struct version version_of(const struct stat *stat)
{
    return (struct version){.device = stat->st_dev,
                            .inode = stat->st_ino,
                            .bytes = (uint64_t)stat->st_size,
                            .changed_ns =
                                stat->st_mtim.tv_sec * INT64_C(1000000000) + stat->st_mtim.tv_nsec};
}

static bool is_same(const struct version *a, const struct version *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->changed_ns == b->changed_ns;
}

static const char *read_whole(int fd, struct text_file *file)
{
    file->text = malloc(TEXT_FILE_BYTES_MAX + 1);
    CHECK(file->text);
    ssize_t got = 1;
    while (got > 0 && file->len <= TEXT_FILE_BYTES_MAX) {
        got = read(fd, file->text + file->len, TEXT_FILE_BYTES_MAX + 1 - file->len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            return strerror(errno);
        else
            file->len += (size_t)got;
    }
    if (file->len > TEXT_FILE_BYTES_MAX)
        return "is longer than 1 MiB";
    char *fitting = realloc(file->text, file->len + 1);
    file->text = fitting ? fitting : file->text;
    return NULL;
}

// Anything but a plain file (a device, a pipe) could keep the reader waiting.
static const char *load(struct text_file *file)
{
    drop_text(file);
    file->read = (struct version){0};
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return strerror(errno);
    struct stat stat = {0};
    const char *why = NULL;
    if (fstat(fd, &stat) < 0)
        why = strerror(errno);
    else if (!S_ISREG(stat.st_mode))
        why = "is no plain file";
    else
        why = read_whole(fd, file);
    close(fd);
    if (why)
        drop_text(file);
    file->read = version_of(&stat);
    return why;
}

static struct version look(const char *path)
{
    struct stat now;
    return stat(path, &now) == 0 ? version_of(&now) : (struct version){0};
}

const char *text_files_read(struct text_files *files, struct str path, struct str *ret)
{
    struct text_file *file = map_find(files->by_path, path);
    bool is_new = !file;
    if (is_new) {
        file = calloc(1, sizeof(*file));
        CHECK(file);
        file->path = strndup(path.ptr, path.len);
        CHECK(file->path);
        map_put(files->by_path, str_of(file->path), file);
    }
    struct version now = look(file->path);
    // What is in use already stays as it is until the end, so that all see the same.
    if (is_new || (!file->is_used && !is_same(&now, &file->read))) {
        file->why = load(file);
        file->seen = file->read;
    }
    file->is_used = true;
    *ret = (struct str){file->text, file->len};
    return file->why;
}

static bool look_at_all(struct text_files *files, bool *ret_is_moving)
{
    bool is_changed = false;
    *ret_is_moving = false;
    size_t cursor = 0;
    struct str path;
    void *value;
    while (map_next(files->by_path, &cursor, &path, &value)) {
        struct text_file *file = value;
        struct version now = look(file->path);
        is_changed |= !is_same(&now, &file->read);
        *ret_is_moving |= !is_same(&now, &file->seen);
        file->seen = now;
    }
    return is_changed;
}

bool text_files_have_changed(struct text_files *files)
{
    bool is_moving;
    return look_at_all(files, &is_moving);
}

bool text_files_have_settled(struct text_files *files)
{
    bool is_moving;
    return look_at_all(files, &is_moving) && !is_moving;
}
