// SPDX-License-Identifier: Apache-2.0
// Body bytes between an HTTP/2 side and the other side: blocks from the worker's pool. What may
// wait in a queue is bounded by the flow-control window that was given to the sender. Worker.
#pragma once
#include "base/str.h"
#include <stdint.h>
#include <sys/types.h>

struct worker;
struct sock;
struct queue_block;

struct body_queue {
    struct queue_block *first, *last; // owned
    uint64_t bytes;                   // that wait
    uint32_t owed;     // body bytes that came in and were not yet used: window to give back
    bool makes_chunks; // for HTTP/1: what is added gets chunked framing
    bool has_end;      // nothing more will be added
};

void queue_fini(struct body_queue *queue, struct worker *worker);
void queue_add(struct body_queue *queue, struct worker *worker, struct str data);
// The same of bytes that were made of others: `owed` of them came in.
void queue_add_changed(struct body_queue *queue, struct worker *worker, struct str data,
                       uint32_t owed);
// No more comes. With chunks: the last one, with `trailers` (lines "name: value\r\n").
void queue_end(struct body_queue *queue, struct worker *worker, struct str trailers);
// From now on as chunks, also what waits already; `trailers` if the end has come.
void queue_make_chunks(struct body_queue *queue, struct worker *worker, struct str trailers);
struct str queue_front(const struct body_queue *queue); // the first run of bytes; empty: none
// `n` bytes were used. Returns how much window may be given back.
uint32_t queue_drop(struct body_queue *queue, struct worker *worker, size_t n);
// Sends as much as goes out in one call. As sock_send; the bytes are dropped: *ret_window.
ssize_t queue_send(struct body_queue *queue, struct worker *worker, struct sock *sock,
                   uint32_t *ret_window);
