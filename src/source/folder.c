// SPDX-License-Identifier: Apache-2.0
// Which files there are, and when to look at which. Two ways lead to the same end: a scan walks a
// folder and sweeps away what it did not meet; a visit looks at one path that an event named.
#include "source/folder.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "source/manifest.h"
#include "source/notes.h"
#include "source/watcher.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 64,
    QUIET_MS = 3,      // without a further event before a burst is taken up
    BURST_MS_MAX = 20, // and at the latest
    // A file that nobody closes: until what is whole in it is taken up, and then until it counts
    // as if it were closed. `slow-program > file` cuts the file at once and writes when it pleases.
    OPEN_MS = 10 * 1000,
    ABANDONED_MS = 30 * 1000,
    OPEN_TIMES_MAX = 6, // times OPEN_MS, when it is written to again and again
};

struct directory {
    dev_t dev;
    ino_t ino;
    unsigned generation;
    struct notes *notes; // why it cannot be read
    size_t path_len;
    char path[];
};

struct root { // a path given on the command line
    struct str path;
    bool is_stdin;
    bool is_read; // standard input cannot be read again
    struct notes *notes;
};

enum pending_state {
    PENDING_READY,   // taken up with the burst under way
    PENDING_OPEN,    // being written, as far as anybody can tell
    PENDING_PARTIAL, // the same, and read once since the last write
};

struct pending { // a path to visit
    enum pending_state state;
    int64_t first_ms, due_ms; // unless ready: the first write that is not taken up; the next visit
    size_t path_len;
    char path[];
};

struct folder_source {
    struct store *store;
    struct reporter reporter;
    struct root *roots;
    size_t n_roots;
    struct map *manifests, *directories, *by_inode; // by path; directories by device and inode
    struct map *pending;
    unsigned generation;
    bool is_changed;
    bool must_rescan;    // events were lost
    bool is_watch_short; // the kernel's limit was met: said once
    int64_t open_ms, abandoned_ms;
    struct watcher *watcher;
    // Milliseconds count here, and the loop's timers are coarser.
    struct watch timer;
    int64_t armed_ms;                      // 0: not
    int64_t first_ready_ms, last_ready_ms; // 0: nothing is ready
    struct loop *loop;                     // NULL: not watching
    void (*on_change)(void *arg);
    void *arg;
};

// --- records -----------------------------------------------------------------------------------

static struct notes *make_note(struct str path, const char *why)
{
    struct diags *diags = diags_create();
    diags_add(diags, DIAG_FILE_UNREADABLE, (struct place){.file = path}, STR_NONE, STR_NONE, "%s",
              why);
    struct notes *notes = notes_pack(diags, 0, NULL, 0);
    diags_destroy(diags);
    return notes;
}

static void set_note(struct folder_source *source, struct notes **notes, struct str path,
                     const char *why)
{
    if ((*notes != NULL) == (why != NULL))
        return;
    notes_destroy(*notes);
    *notes = why ? make_note(path, why) : NULL;
    source->is_changed = true;
    store_touch(source->store);
}

static struct str inode_key(const struct directory *directory)
{
    return (struct str){(const char *)&directory->dev, sizeof(dev_t) + sizeof(ino_t)};
}
_Static_assert(offsetof(struct directory, ino) == offsetof(struct directory, dev) + sizeof(dev_t),
               "inode_key takes both at once");

static void remove_directory(struct folder_source *source, struct directory *directory)
{
    map_remove(source->directories, (struct str){directory->path, directory->path_len});
    if (map_find(source->by_inode, inode_key(directory)) == directory)
        map_remove(source->by_inode, inode_key(directory));
    if (source->watcher)
        watcher_remove_folder(source->watcher, (struct str){directory->path, directory->path_len});
    notes_destroy(directory->notes);
    free(directory);
}

static void remove_manifest(struct folder_source *source, struct manifest *manifest)
{
    map_remove(source->manifests, manifest_path(manifest));
    manifest_destroy(manifest, source->store);
    store_touch(source->store);
    source->is_changed = true;
}

static bool is_below(struct str path, struct str folder)
{
    return str_has_prefix(path, folder) && (path.len == folder.len || path.ptr[folder.len] == '/' ||
                                            str_has_suffix(folder, STR("/")));
}

static const struct root *find_root(const struct folder_source *source, struct str path)
{
    for (size_t i = 0; i < source->n_roots; i++) {
        if (str_equal(source->roots[i].path, path))
            return &source->roots[i];
    }
    return NULL;
}

// A path given on the command line that lies below `path` answers for itself.
static bool has_root_between(const struct folder_source *source, struct str key, struct str path)
{
    for (size_t i = 0; i < source->n_roots; i++) {
        struct str root = source->roots[i].path;
        if (root.len > path.len && is_below(root, path) && is_below(key, root))
            return true;
    }
    return false;
}

// Removes what is at or below `path` and was not met in the current generation.
static void sweep(struct folder_source *source, struct str path, bool is_all)
{
    struct str key;
    void *value;
    struct buf doomed = {0};
    for (size_t i = 0; map_next(source->manifests, &i, &key, &value);) {
        bool is_met = manifest_generation(value) == source->generation && !is_all;
        if (!is_met && is_below(key, path) && !has_root_between(source, key, path))
            buf_add(&doomed, &value, sizeof(value));
    }
    for (size_t i = 0; i < doomed.len; i += sizeof(value)) {
        memcpy(&value, doomed.data + i, sizeof(value));
        remove_manifest(source, value);
    }
    doomed.len = 0;
    for (size_t i = 0; map_next(source->directories, &i, &key, &value);) {
        bool is_met = ((struct directory *)value)->generation == source->generation && !is_all;
        if (!is_met && is_below(key, path) && !has_root_between(source, key, path))
            buf_add(&doomed, &value, sizeof(value));
    }
    for (size_t i = 0; i < doomed.len; i += sizeof(value)) {
        memcpy(&value, doomed.data + i, sizeof(value));
        remove_directory(source, value);
    }
    buf_fini(&doomed);
}

static bool has_extension(struct str name)
{
    return str_has_suffix(name, STR(".yaml")) || str_has_suffix(name, STR(".yml")) ||
           str_has_suffix(name, STR(".json"));
}

static bool is_missing(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

// Whether a writer has the file open; asked with the events that came until now.
static bool is_being_written(void *arg, struct str path)
{
    struct folder_source *source = arg;
    if (!source->loop)
        return false; // nobody watches
    watcher_poll(source->watcher);
    const struct pending *pending = map_find(source->pending, path);
    return pending && pending->state != PENDING_READY;
}

// --- scanning ----------------------------------------------------------------------------------

static void read_file(struct folder_source *source, struct str path, enum manifest_read_mode mode)
{
    struct manifest *manifest = map_find(source->manifests, path);
    bool is_new = manifest == NULL;
    if (manifest && manifest_generation(manifest) == source->generation &&
        mode == MANIFEST_IF_CHANGED)
        return; // reached by another way in this very scan
    if (is_new) {
        manifest = manifest_create(path);
        map_put(source->manifests, manifest_path(manifest), manifest);
    }
    manifest_set_generation(manifest, source->generation);
    struct manifest_guard guard = {is_being_written, source};
    enum manifest_result result = manifest_read(manifest, source->store, mode, &guard);
    bool was_changed = source->is_changed;
    if (result == MANIFEST_GONE) {
        remove_manifest(source, manifest);
        source->is_changed = was_changed || !is_new; // one that came and went is no change
    } else
        source->is_changed |= result == MANIFEST_CHANGED || is_new;
}

static void scan_path(struct folder_source *source, struct str path, bool is_root, unsigned depth);

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Names that may count, sorted; hidden ones never do. NULL and errno when it cannot be read.
static char **list_names(const char *path, size_t *ret_n)
{
    DIR *dir = opendir(path);
    if (!dir)
        return NULL;
    size_t n = 0, cap = 16;
    char **names = malloc(cap * sizeof(*names));
    CHECK(names != NULL);
    for (struct dirent *entry; (entry = readdir(dir));) {
        bool may_count = entry->d_name[0] != '.' &&
                         (entry->d_type != DT_REG || has_extension(str_of(entry->d_name)));
        if (!may_count)
            continue;
        if (n == cap) {
            cap *= 2;
            names = realloc(names, cap * sizeof(*names));
            CHECK(names != NULL);
        }
        names[n] = strdup(entry->d_name);
        CHECK(names[n] != NULL);
        n++;
    }
    closedir(dir);
    if (n)
        qsort(names, n, sizeof(*names), compare_names);
    *ret_n = n;
    return names;
}

// What the folder holds stays as it was, since nobody can look.
static void keep_all_below(struct folder_source *source, struct str path)
{
    struct str key;
    void *value;
    for (size_t i = 0; map_next(source->manifests, &i, &key, &value);) {
        if (is_below(key, path))
            manifest_set_generation(value, source->generation);
    }
    for (size_t i = 0; map_next(source->directories, &i, &key, &value);) {
        if (is_below(key, path))
            ((struct directory *)value)->generation = source->generation;
    }
}

// The same for one that is known: false when `path` is none.
static bool keep_directory(struct folder_source *source, struct str path, int error)
{
    struct directory *directory = map_find(source->directories, path);
    keep_all_below(source, path);
    if (directory)
        set_note(source, &directory->notes, path, strerror(error));
    return directory != NULL;
}

static void watch_directory(struct folder_source *source, struct str path)
{
    int error = source->watcher ? watcher_add_folder(source->watcher, path) : 0;
    if (error == -ENOSPC && !source->is_watch_short) {
        source->is_watch_short = true;
        log_warning("source",
                    "%.*s is not watched: raise fs.inotify.max_user_watches; until then "
                    "send SIGHUP after changes",
                    STR_ARG(path));
    }
}

// The record of a folder, or NULL when its inode was met under another path that is still true.
static struct directory *meet_directory(struct folder_source *source, struct str path,
                                        const struct stat *status)
{
    struct directory probe = {.dev = status->st_dev, .ino = status->st_ino};
    struct directory *directory = map_find(source->by_inode, inode_key(&probe));
    struct stat other;
    if (directory && !str_equal((struct str){directory->path, directory->path_len}, path)) {
        if (stat(directory->path, &other) == 0 && other.st_dev == status->st_dev &&
            other.st_ino == status->st_ino)
            return NULL;
        char *stale = strdup(directory->path); // it was moved to here
        CHECK(stale != NULL);
        sweep(source, str_of(stale), true);
        free(stale);
    }
    directory = map_find(source->directories, path);
    if (!directory) {
        directory = calloc(1, sizeof(*directory) + path.len + 1);
        CHECK(directory != NULL);
        directory->path_len = path.len;
        memcpy(directory->path, path.ptr, path.len);
        map_put(source->directories, (struct str){directory->path, path.len}, directory);
    } else if (map_find(source->by_inode, inode_key(directory)) == directory) {
        map_remove(source->by_inode, inode_key(directory));
    }
    directory->dev = status->st_dev;
    directory->ino = status->st_ino;
    map_put(source->by_inode, inode_key(directory), directory);
    return directory;
}

static void scan_directory(struct folder_source *source, struct str path, const struct stat *status,
                           unsigned depth)
{
    struct directory *directory = meet_directory(source, path, status);
    if (!directory || directory->generation == source->generation)
        return;
    directory->generation = source->generation;
    watch_directory(source, path); // before it is read: nothing slips through between
    size_t n;
    char **names = list_names(directory->path, &n);
    if (!names) {
        set_note(source, &directory->notes, path, strerror(errno));
        keep_all_below(source, path);
        return;
    }
    set_note(source, &directory->notes, path, depth == DEPTH_MAX ? "is nested too deep" : NULL);
    for (size_t i = 0; i < n; i++) {
        struct buf below = {0};
        buf_printf(&below, "%.*s%s%s", STR_ARG(path), str_has_suffix(path, STR("/")) ? "" : "/",
                   names[i]);
        if (depth < DEPTH_MAX)
            scan_path(source, buf_str(&below), false, depth + 1);
        buf_fini(&below);
        free(names[i]);
    }
    free(names);
}

// A link from within a folder to elsewhere: what it leads to is not in a watched folder. Links to
// `..data` (a mounted ConfigMap) are, and have their own rule.
static void anchor_link(struct folder_source *source, struct str path)
{
    char target[8];
    ssize_t n = readlink(path.ptr, target, sizeof(target));
    bool is_mounted = n >= 7 && memcmp(target, "..data/", 7) == 0;
    if (n > 0 && !is_mounted && source->watcher)
        watcher_anchor(source->watcher, path);
}

// `path` is NUL-terminated here and below.
static void scan_path(struct folder_source *source, struct str path, bool is_root, unsigned depth)
{
    struct stat status;
    if (!is_root)
        anchor_link(source, path);
    if (stat(path.ptr, &status) != 0) {
        if (is_missing(errno))
            return; // swept away
        bool is_folder = keep_directory(source, path, errno);
        if (!is_folder && (is_root || has_extension(path)))
            read_file(source, path, MANIFEST_FINISHED); // says why it cannot
        return;
    }
    if (S_ISDIR(status.st_mode))
        scan_directory(source, path, &status, depth);
    else if (is_root || (S_ISREG(status.st_mode) && has_extension(path)))
        read_file(source, path, MANIFEST_IF_CHANGED);
}

static void read_stdin(struct folder_source *source, struct root *root)
{
    struct manifest *manifest = map_find(source->manifests, root->path);
    if (!root->is_read) {
        struct buf text = {0};
        char piece[65536];
        ssize_t got;
        while ((got = read(STDIN_FILENO, piece, sizeof(piece))) != 0) {
            if (got > 0)
                buf_add(&text, piece, (size_t)got);
            else if (errno != EINTR)
                break;
        }
        set_note(source, &root->notes, root->path, got < 0 ? strerror(errno) : NULL);
        manifest = manifest_create(root->path);
        map_put(source->manifests, manifest_path(manifest), manifest);
        manifest_take(manifest, source->store, buf_str(&text), false);
        buf_fini(&text);
        root->is_read = true;
        source->is_changed = true;
    }
    manifest_set_generation(manifest, source->generation);
}

static void scan_root(struct folder_source *source, struct root *root)
{
    struct stat status;
    if (root->is_stdin) {
        read_stdin(source, root);
        return;
    }
    if (source->watcher)
        watcher_anchor(source->watcher, root->path);
    if (stat(root->path.ptr, &status) != 0) {
        bool is_gone = is_missing(errno);
        set_note(source, &root->notes, root->path,
                 is_gone ? "does not exist; it is taken up when it appears" : strerror(errno));
        if (!is_gone)
            keep_all_below(source, root->path);
        return;
    }
    set_note(source, &root->notes, root->path, NULL);
    scan_path(source, root->path, true, 0);
}

void folder_read_all(struct folder_source *source)
{
    source->generation++;
    for (size_t i = 0; i < source->n_roots; i++)
        scan_root(source, &source->roots[i]);
    for (size_t i = 0; i < source->n_roots; i++)
        sweep(source, source->roots[i].path, false);
}

// --- visits ------------------------------------------------------------------------------------

static void rescan(struct folder_source *source, struct str path)
{
    source->generation++;
    scan_path(source, path, find_root(source, path) != NULL, 0);
    sweep(source, path, false);
}

static void visit_root(struct folder_source *source, struct root *root)
{
    source->generation++;
    scan_root(source, root);
    sweep(source, root->path, false);
}

// False: there is nothing any more.
static bool visit(struct folder_source *source, struct str path, enum manifest_read_mode mode)
{
    struct stat status;
    bool is_there = stat(path.ptr, &status) == 0;
    int error = errno;
    const struct root *root = find_root(source, path);
    if (root && (!is_there || S_ISDIR(status.st_mode) || root->notes)) {
        visit_root(source, (struct root *)root);
        return true;
    }
    if (!is_there && is_missing(error))
        return false;
    if (!is_there && keep_directory(source, path, error)) {
        anchor_link(source, path);
        return true;
    }
    if (is_there && S_ISDIR(status.st_mode)) {
        rescan(source, path);
        return true;
    }
    if (map_find(source->directories, path)) // a file where a folder was
        sweep(source, path, true);
    if (!root)
        anchor_link(source, path);
    else if (source->watcher)
        watcher_anchor(source->watcher, path);
    if (root || ((!is_there || S_ISREG(status.st_mode)) && has_extension(path)))
        read_file(source, path, mode);
    return true;
}

// When the burst under way is taken up; 0: there is none.
static int64_t ready_due_ms(const struct folder_source *source)
{
    if (source->first_ready_ms == 0)
        return 0;
    int64_t latest = source->first_ready_ms + BURST_MS_MAX;
    int64_t quiet = source->last_ready_ms + QUIET_MS;
    return quiet < latest ? quiet : latest;
}

static void arm(struct folder_source *source, int64_t due_ms)
{
    source->armed_ms = due_ms;
    struct itimerspec spec = {
        .it_value = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000}};
    timerfd_settime(source->timer.fd, TFD_TIMER_ABSTIME, &spec, NULL); // 0 disarms
}

// A timer that is set for earlier stays: it finds out by itself that it is early.
static void arm_earlier(struct folder_source *source, int64_t due_ms)
{
    if (source->armed_ms == 0 || due_ms < source->armed_ms)
        arm(source, due_ms);
}

static void arm_next(struct folder_source *source)
{
    int64_t due_ms = ready_due_ms(source);
    struct str key;
    void *value;
    for (size_t i = 0; map_next(source->pending, &i, &key, &value);) {
        const struct pending *pending = value;
        if (pending->state != PENDING_READY && (due_ms == 0 || pending->due_ms < due_ms))
            due_ms = pending->due_ms;
    }
    arm(source, due_ms);
}

struct visit {
    struct pending *pending;
    enum manifest_read_mode mode; // unfinished: the pending one stays where it is
};

// What is due, *ret_n of it. It is pending no more, but for files that are open.
static struct visit *take_due(struct folder_source *source, int64_t now_ms, size_t *ret_n)
{
    bool is_ready = source->first_ready_ms != 0 && ready_due_ms(source) <= now_ms;
    struct visit *due = malloc((map_count(source->pending) + 1) * sizeof(*due));
    CHECK(due != NULL);
    struct str key;
    void *value;
    size_t n = 0;
    for (size_t i = 0; map_next(source->pending, &i, &key, &value);) {
        struct pending *pending = value;
        bool is_due = pending->state == PENDING_READY ? is_ready : pending->due_ms <= now_ms;
        if (!is_due)
            continue;
        bool is_open = pending->state == PENDING_OPEN;
        due[n++] = (struct visit){pending, is_open ? MANIFEST_UNFINISHED : MANIFEST_FINISHED};
        if (is_open) {
            pending->state = PENDING_PARTIAL;
            pending->due_ms = now_ms + source->abandoned_ms;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (due[i].mode == MANIFEST_FINISHED)
            map_remove(source->pending,
                       (struct str){due[i].pending->path, due[i].pending->path_len});
    }
    if (is_ready)
        source->first_ready_ms = source->last_ready_ms = 0;
    *ret_n = n;
    return due;
}

static void remove_path(struct folder_source *source, struct str path)
{
    struct manifest *manifest = map_find(source->manifests, path);
    if (manifest)
        remove_manifest(source, manifest);
    else if (map_find(source->directories, path))
        sweep(source, path, true);
}

// What came is taken up before what went goes, so that a file moved within reach keeps its objects.
static void visit_due(struct folder_source *source)
{
    size_t n, n_gone = 0;
    struct visit *due = take_due(source, clock_monotonic_ms(), &n);
    for (size_t i = 0; i < n; i++) {
        struct pending *pending = due[i].pending;
        if (!visit(source, (struct str){pending->path, pending->path_len}, due[i].mode))
            due[n_gone++] = due[i];
        else if (due[i].mode == MANIFEST_FINISHED)
            free(pending);
    }
    for (size_t i = 0; i < n_gone; i++) {
        struct pending *pending = due[i].pending;
        remove_path(source, (struct str){pending->path, pending->path_len});
        if (due[i].mode == MANIFEST_FINISHED)
            free(pending);
    }
    free(due);
    if (source->must_rescan && source->first_ready_ms == 0) {
        source->must_rescan = false;
        folder_read_all(source);
    }
}

static void on_timer(struct watch *watch, uint32_t events)
{
    struct folder_source *source = LIST_ENTRY(watch, struct folder_source, timer);
    uint64_t expirations;
    if (read(watch->fd, &expirations, sizeof(expirations)) < 0)
        return;
    source->is_changed = false;
    visit_due(source);
    arm_next(source);
    if (source->is_changed)
        source->on_change(source->arg);
}

static void note_ready(struct folder_source *source, int64_t now_ms)
{
    source->last_ready_ms = now_ms;
    if (source->first_ready_ms == 0)
        source->first_ready_ms = now_ms;
    arm_earlier(source, ready_due_ms(source));
}

static void set_open(struct folder_source *source, struct pending *pending, int64_t now_ms)
{
    if (pending->state != PENDING_OPEN)
        pending->first_ms = now_ms;
    pending->state = PENDING_OPEN;
    int64_t latest = pending->first_ms + OPEN_TIMES_MAX * source->open_ms;
    pending->due_ms = now_ms + source->open_ms < latest ? now_ms + source->open_ms : latest;
    arm_earlier(source, pending->due_ms);
}

// A file that is opened again before it was visited is not ready any more.
static void add_pending(struct folder_source *source, struct str path, enum watcher_stage stage)
{
    int64_t now_ms = clock_monotonic_ms();
    struct pending *pending = map_find(source->pending, path);
    if (stage == WATCHER_TOUCHED && pending)
        return; // what is in it is not touched
    if (!pending) {
        pending = malloc(sizeof(*pending) + path.len + 1);
        CHECK(pending != NULL);
        pending->state = PENDING_READY;
        pending->path_len = path.len;
        memcpy(pending->path, path.ptr, path.len);
        pending->path[path.len] = '\0';
        map_put(source->pending, (struct str){pending->path, path.len}, pending);
    }
    if (stage == WATCHER_CREATED || stage == WATCHER_WRITING) {
        set_open(source, pending, now_ms);
    } else {
        pending->state = PENDING_READY;
        note_ready(source, now_ms);
    }
}

static bool is_link_or_folder(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

// What nobody writes although it is new: no file, or another name of one.
static bool is_born_finished(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && (!S_ISREG(status.st_mode) || status.st_nlink > 1);
}

static void on_path(void *arg, struct str path, enum watcher_stage stage)
{
    struct folder_source *source = arg;
    struct buf copy = {0};
    buf_add_str(&copy, path);
    if (stage == WATCHER_CREATED && is_born_finished(copy.data))
        stage = WATCHER_FINISHED;
    add_pending(source, path, stage);
    buf_fini(&copy);
}

static void on_name(void *arg, struct str folder, struct str name, bool is_folder,
                    enum watcher_stage stage)
{
    struct folder_source *source = arg;
    if (str_is(name, "..data")) { // what all names of a mounted ConfigMap lead through
        if (stage == WATCHER_FINISHED || stage == WATCHER_CREATED)
            add_pending(source, folder, WATCHER_FINISHED);
        return;
    }
    if (name.ptr[0] == '.')
        return;
    struct buf path = {0};
    buf_printf(&path, "%.*s%s%.*s", STR_ARG(folder), str_has_suffix(folder, STR("/")) ? "" : "/",
               STR_ARG(name));
    bool is_of_interest = is_folder || has_extension(name) ||
                          map_find(source->directories, buf_str(&path)) ||
                          (stage != WATCHER_WRITING && is_link_or_folder(path.data));
    if (is_of_interest)
        on_path(source, buf_str(&path), stage);
    buf_fini(&path);
}

static void on_overflow(void *arg)
{
    struct folder_source *source = arg;
    source->must_rescan = true;
    note_ready(source, clock_monotonic_ms());
}

// --- the source --------------------------------------------------------------------------------

static void report_notes(const struct notes *notes, struct str path, struct diags *out)
{
    struct note note;
    for (size_t i = 0; notes_next(notes, &i, &note);)
        diags_add(out, note.code, (struct place){.file = path}, STR_NONE, STR_NONE, "%.*s",
                  STR_ARG(note.message));
}

static void report_source(struct reporter *reporter, struct diags *out)
{
    struct folder_source *source = LIST_ENTRY(reporter, struct folder_source, reporter);
    struct str key;
    void *value;
    for (size_t i = 0; i < source->n_roots; i++)
        report_notes(source->roots[i].notes, source->roots[i].path, out);
    for (size_t i = 0; map_next(source->directories, &i, &key, &value);)
        report_notes(((const struct directory *)value)->notes, key, out);
    for (size_t i = 0; map_next(source->manifests, &i, &key, &value);)
        manifest_report(value, out);
}

// A path without slashes at its end, so that one and the same has one form.
static char *copy_path(const char *path)
{
    char *copy = strdup(path);
    CHECK(copy != NULL);
    for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
        copy[len - 1] = '\0';
    return copy;
}

struct folder_source *folder_open(struct store *store, const char *const *paths, size_t n_paths)
{
    struct folder_source *source = calloc(1, sizeof(*source));
    CHECK(source != NULL);
    source->store = store;
    source->roots = calloc(n_paths ? n_paths : 1, sizeof(*source->roots));
    CHECK(source->roots != NULL);
    for (size_t i = 0; i < n_paths; i++) {
        struct root root = {.is_stdin = strcmp(paths[i], "-") == 0};
        root.path = str_of(copy_path(paths[i]));
        if (find_root(source, root.path))
            free((char *)root.path.ptr); // given twice
        else
            source->roots[source->n_roots++] = root;
    }
    source->manifests = map_create();
    source->directories = map_create();
    source->by_inode = map_create();
    source->pending = map_create();
    folder_set_patience(source, OPEN_MS, ABANDONED_MS);
    source->reporter.report = report_source;
    store_add_reporter(store, &source->reporter);
    struct watcher_events events = {
        .on_name = on_name, .on_path = on_path, .on_overflow = on_overflow, .arg = source};
    // From the start, so that nothing is lost between the first reading and the watching. Without
    // inotify everything but watching works.
    source->watcher = watcher_create(&events);
    source->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    source->timer.on_event = on_timer;
    return source;
}

void folder_set_patience(struct folder_source *source, uint32_t open_ms, uint32_t abandoned_ms)
{
    source->open_ms = open_ms;
    source->abandoned_ms = abandoned_ms;
}

int folder_watch(struct folder_source *source, struct loop *loop, void (*on_change)(void *arg),
                 void *arg)
{
    if (!source->watcher || source->timer.fd < 0)
        return -EMFILE;
    source->on_change = on_change;
    source->arg = arg;
    int error = loop_add(loop, &source->timer, EPOLLIN);
    if (error)
        return error;
    source->loop = loop;
    return watcher_start(source->watcher, loop);
}

void folder_close(struct folder_source *source)
{
    if (!source)
        return;
    store_remove_reporter(source->store, &source->reporter);
    watcher_destroy(source->watcher);
    source->watcher = NULL;
    if (source->loop)
        loop_remove(source->loop, &source->timer);
    if (source->timer.fd >= 0)
        close(source->timer.fd);
    struct str key;
    void *value;
    for (size_t i = 0; map_next(source->manifests, &i, &key, &value);)
        manifest_destroy(value, source->store);
    for (size_t i = 0; map_next(source->directories, &i, &key, &value);) {
        notes_destroy(((struct directory *)value)->notes);
        free(value);
    }
    for (size_t i = 0; map_next(source->pending, &i, &key, &value);)
        free(value);
    map_destroy(source->manifests);
    map_destroy(source->directories);
    map_destroy(source->by_inode);
    map_destroy(source->pending);
    for (size_t i = 0; i < source->n_roots; i++) {
        notes_destroy(source->roots[i].notes);
        free((char *)source->roots[i].path.ptr);
    }
    free(source->roots);
    free(source);
}
