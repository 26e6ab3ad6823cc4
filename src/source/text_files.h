// SPDX-License-Identifier: Apache-2.0
// Files that manifests name by path (certificates, keys), kept in memory from one compile to the
// next. Control thread.
#pragma once
#include "base/str.h"

enum { TEXT_FILE_BYTES_MAX = 1024 * 1024 };

struct text_files;
struct text_files *text_files_create(void);
void text_files_destroy(struct text_files *files); // NULL is fine

// Between begin and end those in use are read; the others are forgotten at the end.
void text_files_begin(struct text_files *files);
void text_files_end(struct text_files *files);
// The whole file, as it is now; borrowed until the next begin. NULL: *ret; else why it cannot be
// read.
const char *text_files_read(struct text_files *files, struct str path, struct str *ret);

// Whether a file in use has changed since it was read.
bool text_files_have_changed(struct text_files *files);
// The same, asked every few seconds: false as long as they change from one time to the next (a
// certificate and its key are written one after the other).
bool text_files_have_settled(struct text_files *files);
