// SPDX-License-Identifier: Apache-2.0
// The source for files and folders: reads *.yaml, *.yml and *.json (folders recursively, hidden
// names and `..data` targets once), keeps the store in step, watches with inotify. Control thread.
//
// A file is cut into documents; only the documents whose bytes changed are decoded again. Changes
// are taken up when the writer is done: on close-after-write, rename, delete, symlink swap; a burst
// is coalesced (a few milliseconds of quiet, at most 20 ms). A half-written or broken file keeps the
// last good versions of its objects.
//
// A file that somebody has open for writing takes nothing away. When it is quiet for long and still
// not closed, the documents that are whole add and change objects; after another long while it
// counts as if it were closed, for there are writers of whom no close is heard.
#pragma once
#include "base/loop.h"
#include "source/store.h"

struct folder_source;

// `paths`: files or folders, "-" is standard input (read once). A path that does not exist is a
// diagnostic; it is watched for and taken up when it appears.
struct folder_source *folder_open(struct store *store, const char *const *paths, size_t n_paths);
void folder_close(struct folder_source *source);
void folder_read_all(struct folder_source *source); // the first reading, and on SIGHUP
// How long an open file must be quiet, for each of the two. Otherwise 10 s and 30 s.
void folder_set_patience(struct folder_source *source, uint32_t open_ms, uint32_t abandoned_ms);
// Starts watching: on_change runs in the loop's thread after the store changed.
int folder_watch(struct folder_source *source, struct loop *loop,
                 void (*on_change)(void *arg), void *arg);
