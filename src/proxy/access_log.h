// SPDX-License-Identifier: Apache-2.0
// The access log's way out: workers render lines into a chunk of their own; full or old chunks go
// through a bounded single-producer ring to one writer thread, which alone calls write(2). A slow
// disk or pipe therefore never blocks a worker: when a worker's ring is full its lines are dropped
// and counted.
#pragma once
#include "base/buf.h"

struct access_log;         // the file and the writer thread; process lifetime; control thread
struct access_log_channel; // a worker's end; used by that worker alone

// `path`: a file (created, appended to), or "-" for standard output. NULL: reterr says why.
struct access_log *access_log_open(const char *path, unsigned n_channels, struct buf *reterr);
// Writes what was handed over, at most for two seconds if the file blocks, then ends the thread.
void access_log_close(struct access_log *log); // NULL is fine; after the workers have ended
void access_log_reopen(struct access_log *log); // SIGUSR1; any thread; the writer does it
struct access_log_channel *access_log_channel(struct access_log *log, unsigned index);

enum { ACCESS_LOG_LINE_MAX = 16384 }; // longer lines are cut (the newline is kept)
// Room for a line of up to ACCESS_LOG_LINE_MAX bytes in the worker's current chunk; NULL: the ring is
// full; count the line as dropped. Render into it, then commit its real length.
char *access_log_reserve(struct access_log_channel *channel);
// Returns true when the chunk was empty before: the caller then arms a flush timer.
bool access_log_commit(struct access_log_channel *channel, size_t len);
void access_log_flush(struct access_log_channel *channel); // hands over what is there
uint64_t access_log_write_errors(const struct access_log *log); // failed writes; any thread
