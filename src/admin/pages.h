// SPDX-License-Identifier: Apache-2.0
// The admin server's pages. A page adds its text to a buffer in one or more pieces.
#pragma once
#include "admin/admin.h"

enum { PIECE_BYTES = 64 * 1024 }; // a page that grows with the configuration stops there

// Goes through the clusters of whatever snapshot is published, by name: a new snapshot between two
// pieces neither repeats nor loses a cluster that is in both.
struct cluster_cursor {
    uint64_t generation; // of the snapshot that `next` counts in
    uint32_t next;
    bool is_begun;
    struct buf last; // name of the cluster given last
};
// The next cluster, or NULL at the end. Valid until the loop's next turn.
const struct cluster *cluster_cursor_next(struct cluster_cursor *cursor,
                                          const struct snapshot *snapshot);
void cluster_cursor_reset(struct cluster_cursor *cursor);

// One request while its page is made.
struct page_state {
    const struct admin_options *options;
    struct str query; // of the request; valid for the first piece
    unsigned status;  // 200 unless the first piece says otherwise
    unsigned step;    // the page's own; starts with 0
    struct cluster_cursor cursor;
    uint64_t names_cursor;
};
void page_state_fini(struct page_state *state);

struct page {
    const char *path, *content_type, *sentence;
    // Adds the next piece; true: there is more.
    bool (*add_piece)(struct page_state *state, struct buf *out);
};
extern const struct page pages[]; // ends with a row without a path
const struct page *page_find(struct str path);

bool metrics_add_piece(struct page_state *state, struct buf *out);
bool clusters_add_piece(struct page_state *state, struct buf *out);
extern const char *const cluster_words[CLUSTER_COUNTER_COUNT]; // what /clusters calls them
