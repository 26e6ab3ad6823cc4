// SPDX-License-Identifier: Apache-2.0
// What inotify says, turned into paths to look at. Knows nothing of manifests. Control thread.
//
//   watched folder  each name in it is of interest
//   anchor          one name in a folder: when it changes, look at `path` (a file or folder given on
//                   the command line, or what a symbolic link leads through)
#pragma once
#include "base/loop.h"
#include "base/str.h"

struct watcher;

enum watcher_stage {
    WATCHER_FINISHED, // came, went, or its writer has closed it
    WATCHER_CREATED,  // came; if it is a file, a writer may be about to fill it
    WATCHER_WRITING,
    WATCHER_TOUCHED, // its owner, mode or times
};

// What is called only takes notes: it adds and removes nothing here.
struct watcher_events {
    // A name in a watched folder. `is_folder` as the kernel says; false when it does not know.
    void (*on_name)(void *arg, struct str folder, struct str name, bool is_folder,
                    enum watcher_stage stage);
    void (*on_path)(void *arg, struct str path, enum watcher_stage stage); // look at it again
    void (*on_overflow)(void *arg); // events were lost: look at everything
    void *arg;
};

struct watcher *watcher_create(const struct watcher_events *events); // NULL and errno
void watcher_destroy(struct watcher *watcher);
int watcher_start(struct watcher *watcher, struct loop *loop); // 0 or -errno
void watcher_poll(struct watcher *watcher); // handles what has come, before the loop's next turn
// 0 or -errno. A folder may be watched again: after it was replaced, that watches the new one.
int watcher_add_folder(struct watcher *watcher, struct str folder);
void watcher_remove_folder(struct watcher *watcher, struct str folder);
// Anchors on every step to `path`: each folder on the way, what is missing of it, symbolic links
// and where they lead, itself. May be called again after a change.
void watcher_anchor(struct watcher *watcher, struct str path);
