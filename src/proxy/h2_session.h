// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 connection of either side: a socket, the engine (http/h2.h) and the streams on it.
// Worker.
//
// What an event tells a stream is only noted in it, and the stream woken (stream_wake): it runs
// after the turn's events, when the engine is not at work. Frames go out at the end of the turn,
// those of all streams in one write (h2_session_mark).
#pragma once
#include "http/h2.h"
#include "proxy/stream.h"

struct h2_session {
    struct h2 *h2;
    struct worker *worker;
    struct sock *sock;       // the owner's
    struct downstream *down; // owner; or
    struct upstream *up;
    struct list streams; // of a client; an endpoint's are in up->streams
    struct list dirty;   // worker->h2_dirty
    char *out;           // a large buffer while bytes wait for room on the wire
    uint32_t out_off, out_end;
    uint32_t head_bytes; // of requests that are there
    uint64_t n_sent;     // bytes, for who wants to know of progress
    int64_t last_call_end_ms;
    int32_t
        head_id; // of a client: the head that has begun and has no end yet; nothing else can come
    bool is_last_call; // the first GOAWAY went out
    bool is_closing;   // the last one did: ends with its streams
    bool has_failed;   // ends when its GOAWAY is sent
};

struct h2_session *h2_session_create(struct worker *worker, struct sock *sock,
                                     const struct h2_options *options,
                                     const struct h2_events *events);
void h2_session_destroy(struct h2_session *session); // NULL is fine
void h2_session_mark(struct h2_session *session);    // has frames to send
// Bytes that came; false: broken, or a flood: the session ends.
bool h2_session_take(struct h2_session *session, struct str bytes);
// Reads and handles what is there. false: the connection is at its end.
bool h2_session_read(struct h2_session *session);
// Sends what there is. false: the connection failed.
bool h2_session_flush(struct h2_session *session);
void h2_flush_all(struct worker *worker); // at the end of a turn

// h2_downstream.c
void h2_begin_downstream(struct downstream *down); // with what down->rx holds
void h2_downstream_on_event(struct downstream *down);
void h2_downstream_on_timer(struct downstream *down);
void h2_downstream_drain(struct downstream *down);
void h2_downstream_abort(struct downstream *down); // its streams, then the session
void h2_downstream_flushed(struct downstream *down, bool ok);
// The stream's exchange is over; it is about to be freed.
void h2_downstream_stream_done(struct stream *stream, bool is_cut);

// h2_upstream.c
void h2_begin_upstream(struct upstream *up);
void h2_upstream_on_event(struct upstream *up);
void h2_upstream_flushed(struct upstream *up, bool ok);

// stream_mixed.c: what the engine asks of both kinds
void stream_h2_request_body(struct stream *stream, size_t max, struct str *ret, bool *ret_is_end);
void stream_h2_request_sent(struct stream *stream, size_t n, bool is_end);
void stream_h2_response_body(struct stream *stream, size_t max, struct str *ret, bool *ret_is_end);
void stream_h2_response_sent(struct stream *stream, size_t n, bool is_end);
