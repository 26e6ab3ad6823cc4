// SPDX-License-Identifier: Apache-2.0
#include "source/watcher.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/map.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINKS_MAX = 16, // symbolic links followed on the way to one path
    EVENTS_BYTES = 64 * 1024,
    READS_PER_POLL = 64,
};
#define EVENT_MASK                                                                                 \
    (IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |            \
     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
// For a folder on the way: what is written in it does not matter. Adds to what is asked of it for
// other reasons.
#define STEP_MASK (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD)

struct folder {
    int wd;
    size_t len;
    char path[];
};

struct anchor {
    struct anchor *next; // on the same name
    size_t path_len;
    size_t key_len;
    char text[]; // key "wd/name", then the path
};

struct watcher {
    struct watch watch;
    struct loop *loop; // NULL: not started
    struct watcher_events events;
    struct map *folders, *by_wd; // struct folder by path, by descriptor
    struct map *anchors;         // struct anchor by key
    char *buffer;
};

struct watcher *watcher_create(const struct watcher_events *events)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    CHECK(watcher != NULL);
    watcher->watch.fd = fd;
    watcher->events = *events;
    watcher->folders = map_create();
    watcher->by_wd = map_create();
    watcher->anchors = map_create();
    watcher->buffer = malloc(EVENTS_BYTES);
    CHECK(watcher->buffer != NULL);
    return watcher;
}

static void free_anchors(struct anchor *first)
{
    for (struct anchor *anchor = first, *next; anchor; anchor = next) {
        next = anchor->next;
        free(anchor);
    }
}

void watcher_destroy(struct watcher *watcher)
{
    if (!watcher)
        return;
    if (watcher->loop)
        loop_remove(watcher->loop, &watcher->watch);
    close(watcher->watch.fd);
    struct str key;
    void *value;
    for (size_t i = 0; map_next(watcher->folders, &i, &key, &value);)
        free(value);
    for (size_t i = 0; map_next(watcher->anchors, &i, &key, &value);)
        free_anchors(value);
    map_destroy(watcher->folders);
    map_destroy(watcher->by_wd);
    map_destroy(watcher->anchors);
    free(watcher->buffer);
    free(watcher);
}

static struct str wd_key(const int *wd)
{
    return (struct str){(const char *)wd, sizeof(*wd)};
}

// Those in the watched folder `wd` have keys that begin so.
static struct str anchor_prefix(int wd, char out[16])
{
    int n = snprintf(out, 16, "%d/", wd);
    return (struct str){out, (size_t)n};
}

static bool has_anchors(const struct watcher *watcher, int wd)
{
    char bytes[16];
    struct str prefix = anchor_prefix(wd, bytes), key;
    void *value;
    for (size_t i = 0; map_next(watcher->anchors, &i, &key, &value);) {
        if (str_has_prefix(key, prefix))
            return true;
    }
    return false;
}

// The kernel has dropped the watch: nothing will be heard of them.
static void drop_anchors(struct watcher *watcher, int wd)
{
    char bytes[16];
    struct str prefix = anchor_prefix(wd, bytes), key;
    void *value;
    struct buf doomed = {0};
    for (size_t i = 0; map_next(watcher->anchors, &i, &key, &value);) {
        if (str_has_prefix(key, prefix))
            buf_add(&doomed, &value, sizeof(value));
    }
    for (size_t i = 0; i < doomed.len; i += sizeof(value)) {
        memcpy(&value, doomed.data + i, sizeof(value));
        struct anchor *first = value;
        map_remove(watcher->anchors, (struct str){first->text, first->key_len});
        free_anchors(first);
    }
    buf_fini(&doomed);
}

// --- folders -----------------------------------------------------------------------------------

// Unless the watch serves another: the folder under its new path, or an anchor.
static void release_watch(struct watcher *watcher, struct folder *folder)
{
    if (map_find(watcher->by_wd, wd_key(&folder->wd)) != folder)
        return;
    map_remove(watcher->by_wd, wd_key(&folder->wd));
    if (!has_anchors(watcher, folder->wd))
        inotify_rm_watch(watcher->watch.fd, folder->wd); // fails when the folder is deleted: fine
}

int watcher_add_folder(struct watcher *watcher, struct str path)
{
    struct folder *folder = map_find(watcher->folders, path);
    if (!folder) {
        folder = malloc(sizeof(*folder) + path.len + 1);
        CHECK(folder != NULL);
        folder->wd = -1;
        folder->len = path.len;
        memcpy(folder->path, path.ptr, path.len);
        folder->path[path.len] = '\0';
        map_put(watcher->folders, (struct str){folder->path, folder->len}, folder);
    }
    int wd = inotify_add_watch(watcher->watch.fd, folder->path, EVENT_MASK);
    if (wd < 0)
        return -errno;
    if (folder->wd != wd) {
        release_watch(watcher, folder);
        folder->wd = wd;
    }
    map_put(watcher->by_wd, wd_key(&folder->wd), folder);
    return 0;
}

void watcher_remove_folder(struct watcher *watcher, struct str path)
{
    struct folder *folder = map_remove(watcher->folders, path);
    if (!folder)
        return;
    release_watch(watcher, folder);
    free(folder);
}

// --- anchors -----------------------------------------------------------------------------------

static void add_anchor(struct watcher *watcher, struct str folder, struct str name, struct str path,
                       uint32_t mask)
{
    char folder_path[PATH_MAX];
    struct buf key = {0};
    if (folder.len >= sizeof(folder_path))
        return;
    memcpy(folder_path, folder.ptr, folder.len);
    folder_path[folder.len] = '\0';
    int wd = inotify_add_watch(watcher->watch.fd, folder_path, mask);
    if (wd < 0)
        return; // no folder, or not ours to see: then nothing in it can change for us either
    buf_printf(&key, "%d/%.*s", wd, STR_ARG(name));
    struct anchor *first = map_find(watcher->anchors, buf_str(&key));
    for (const struct anchor *anchor = first; anchor; anchor = anchor->next) {
        if (str_equal((struct str){anchor->text + anchor->key_len, anchor->path_len}, path)) {
            buf_fini(&key);
            return;
        }
    }
    struct anchor *anchor = malloc(sizeof(*anchor) + key.len + path.len);
    CHECK(anchor != NULL);
    *anchor = (struct anchor){.next = first, .path_len = path.len, .key_len = key.len};
    memcpy(anchor->text, key.data, key.len);
    memcpy(anchor->text + key.len, path.ptr, path.len);
    map_put(watcher->anchors, (struct str){anchor->text, anchor->key_len}, anchor);
    buf_fini(&key);
}

// Walks `way` step by step; each is anchored for `path`, since any may be replaced.
static void anchor_way(struct watcher *watcher, struct str way, struct str path, unsigned links)
{
    char at[PATH_MAX], target[PATH_MAX], next[PATH_MAX];
    size_t len = 0;
    struct str rest = way, name;
    if (way.len >= sizeof(at))
        return;
    if (way.ptr[0] == '/')
        at[len++] = '/';
    at[len] = '\0';
    while (str_next(&rest, '/', &name)) {
        struct str folder = len ? (struct str){at, len} : STR(".");
        if (name.len == 0 || str_is(name, "."))
            continue;
        size_t before = len;
        if (len && at[len - 1] != '/')
            at[len++] = '/';
        if (len + name.len >= sizeof(at))
            return;
        memcpy(at + len, name.ptr, name.len);
        len += name.len;
        at[len] = '\0';
        struct stat status;
        bool is_there = lstat(at, &status) == 0;
        bool is_link = is_there && S_ISLNK(status.st_mode);
        folder = before ? str_upto((struct str){at, len}, before) : STR(".");
        bool is_step = is_there && !is_link && rest.len > 0;
        add_anchor(watcher, folder, name, path, is_step ? STEP_MASK : EVENT_MASK);
        if (!is_there)
            return;
        if (!is_link)
            continue;
        ssize_t got = readlink(at, target, sizeof(target) - 1);
        if (got <= 0 || links == LINKS_MAX)
            return;
        target[got] = '\0';
        // The way goes on from where the link leads, with what is left of it.
        int n = snprintf(
            next, sizeof(next), "%.*s%s%s%s%.*s", target[0] == '/' || !before ? 0 : (int)before, at,
            target[0] == '/' || !before ? "" : "/", target, rest.len ? "/" : "", STR_ARG(rest));
        if (n > 0 && (size_t)n < sizeof(next))
            anchor_way(watcher, (struct str){next, (size_t)n}, path, links + 1);
        return;
    }
}

void watcher_anchor(struct watcher *watcher, struct str path)
{
    if (path.len)
        anchor_way(watcher, path, path, 0);
}

// --- events ------------------------------------------------------------------------------------

static void handle_anchors(struct watcher *watcher, int wd, struct str name,
                           enum watcher_stage stage)
{
    struct buf key = {0};
    buf_printf(&key, "%d/%.*s", wd, STR_ARG(name));
    for (const struct anchor *anchor = map_find(watcher->anchors, buf_str(&key)); anchor;
         anchor = anchor->next)
        watcher->events.on_path(watcher->events.arg,
                                (struct str){anchor->text + anchor->key_len, anchor->path_len},
                                stage);
    buf_fini(&key);
}

static void handle_event(struct watcher *watcher, const struct inotify_event *event)
{
    const struct watcher_events *events = &watcher->events;
    if (event->mask & IN_Q_OVERFLOW) {
        events->on_overflow(events->arg);
        return;
    }
    struct folder *folder = map_find(watcher->by_wd, wd_key(&event->wd));
    struct str name = event->len ? str_of(event->name) : STR_NONE;
    if (event->mask & IN_IGNORED) { // the kernel has dropped the watch
        if (folder) {
            map_remove(watcher->by_wd, wd_key(&folder->wd));
            folder->wd = -1;
        }
        drop_anchors(watcher, event->wd);
        return;
    }
    if (name.len == 0) { // the folder itself
        if (folder && (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)))
            events->on_path(events->arg, (struct str){folder->path, folder->len}, WATCHER_FINISHED);
        return;
    }
    enum watcher_stage stage = event->mask & IN_ISDIR    ? WATCHER_FINISHED
                               : event->mask & IN_CREATE ? WATCHER_CREATED
                               : event->mask & IN_MODIFY ? WATCHER_WRITING
                               : event->mask & IN_ATTRIB ? WATCHER_TOUCHED
                                                         : WATCHER_FINISHED;
    if (folder)
        events->on_name(events->arg, (struct str){folder->path, folder->len}, name,
                        event->mask & IN_ISDIR, stage);
    handle_anchors(watcher, event->wd, name, stage);
}

void watcher_poll(struct watcher *watcher)
{
    // Bounded: a writer in a watched folder may be faster than we are. What is left is told again.
    for (unsigned n = 0; n < READS_PER_POLL; n++) {
        ssize_t got = read(watcher->watch.fd, watcher->buffer, EVENTS_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        for (char *at = watcher->buffer; at < watcher->buffer + got;) {
            struct inotify_event head;
            memcpy(&head, at, sizeof(head));
            handle_event(watcher, (const struct inotify_event *)(void *)at);
            at += sizeof(head) + head.len;
        }
    }
}

static void on_readable(struct watch *watch, uint32_t epoll_events)
{
    watcher_poll((struct watcher *)watch); // its first member
}

int watcher_start(struct watcher *watcher, struct loop *loop)
{
    watcher->watch.on_event = on_readable;
    int error = loop_add(loop, &watcher->watch, EPOLLIN);
    if (error == 0)
        watcher->loop = loop;
    return error;
}
