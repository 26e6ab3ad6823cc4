// SPDX-License-Identifier: Apache-2.0
#include "proxy/body_queue.h"
#include "proxy/worker.h"
#include <stdio.h>

struct queue_block { // at the front of a small buffer
    struct queue_block *next;
    uint32_t off, end;
    char bytes[];
};

enum { BLOCK_BYTES = BUFFER_SMALL_BYTES - sizeof(struct queue_block) };

void queue_fini(struct body_queue *queue, struct worker *worker)
{
    while (queue->first) {
        struct queue_block *block = queue->first;
        queue->first = block->next;
        pool_give(&worker->small, block);
    }
    *queue = (struct body_queue){0};
}

static struct queue_block *new_block(struct worker *worker)
{
    struct queue_block *block = pool_take(&worker->small);
    block->next = NULL;
    block->off = block->end = 0;
    return block;
}

static void append(struct body_queue *queue, struct worker *worker, struct str data)
{
    while (data.len > 0) {
        if (!queue->last || queue->last->end == BLOCK_BYTES) {
            struct queue_block *block = new_block(worker);
            if (queue->last)
                queue->last->next = block;
            else
                queue->first = block;
            queue->last = block;
        }
        struct queue_block *block = queue->last;
        size_t n = BLOCK_BYTES - block->end;
        if (n > data.len)
            n = data.len;
        memcpy(block->bytes + block->end, data.ptr, n);
        block->end += (uint32_t)n;
        queue->bytes += n;
        data = str_from(data, n);
    }
}

static struct str chunk_line(uint64_t n, char out[24])
{
    return (struct str){out, (size_t)snprintf(out, 24, "%llx\r\n", (unsigned long long)n)};
}

void queue_add(struct body_queue *queue, struct worker *worker, struct str data)
{
    queue_add_changed(queue, worker, data, (uint32_t)data.len);
}

void queue_add_changed(struct body_queue *queue, struct worker *worker, struct str data,
                       uint32_t owed)
{
    char line[24];
    queue->owed += owed;
    if (data.len == 0)
        return;
    if (queue->makes_chunks)
        append(queue, worker, chunk_line(data.len, line));
    append(queue, worker, data);
    if (queue->makes_chunks)
        append(queue, worker, STR("\r\n"));
}

static void append_last_chunk(struct body_queue *queue, struct worker *worker, struct str trailers)
{
    append(queue, worker, STR("0\r\n"));
    append(queue, worker, trailers);
    append(queue, worker, STR("\r\n"));
}

void queue_end(struct body_queue *queue, struct worker *worker, struct str trailers)
{
    queue->has_end = true;
    if (queue->makes_chunks)
        append_last_chunk(queue, worker, trailers);
}

// What waits becomes one chunk.
static void wrap(struct body_queue *queue, struct worker *worker)
{
    char line[24];
    struct str size = chunk_line(queue->bytes, line);
    struct queue_block *block = new_block(worker);
    memcpy(block->bytes, size.ptr, size.len);
    block->end = (uint32_t)size.len;
    block->next = queue->first;
    queue->first = block;
    queue->bytes += size.len;
    append(queue, worker, STR("\r\n"));
}

void queue_make_chunks(struct body_queue *queue, struct worker *worker, struct str trailers)
{
    CHECK(!queue->makes_chunks);
    queue->makes_chunks = true;
    if (queue->bytes > 0)
        wrap(queue, worker);
    if (queue->has_end)
        append_last_chunk(queue, worker, trailers);
}

struct str queue_front(const struct body_queue *queue)
{
    const struct queue_block *block = queue->first;
    return block ? (struct str){block->bytes + block->off, block->end - block->off} : STR_NONE;
}

uint32_t queue_drop(struct body_queue *queue, struct worker *worker, size_t n)
{
    // With chunked framing more bytes go out than came in, others may be fewer.
    queue->bytes -= n;
    uint32_t window = n < queue->owed && queue->bytes > 0 ? (uint32_t)n : queue->owed;
    queue->owed -= window;
    while (queue->first && n >= queue->first->end - queue->first->off) {
        struct queue_block *block = queue->first;
        n -= block->end - block->off;
        queue->first = block->next;
        if (!queue->first)
            queue->last = NULL;
        pool_give(&worker->small, block);
    }
    if (n > 0)
        queue->first->off += (uint32_t)n;
    return window;
}

ssize_t queue_send(struct body_queue *queue, struct worker *worker, struct sock *sock,
                   uint32_t *ret_window)
{
    const struct queue_block *second = queue->first->next;
    struct str next =
        second ? (struct str){second->bytes + second->off, second->end - second->off} : STR_NONE;
    *ret_window = 0;
    ssize_t n = next.len ? sock_send2(sock, queue_front(queue), next)
                         : sock_send(sock, queue_front(queue).ptr, queue_front(queue).len);
    if (n > 0)
        *ret_window = queue_drop(queue, worker, (size_t)n);
    return n;
}
