// SPDX-License-Identifier: Apache-2.0
// One HTTP/2 connection (RFC 9113) through nghttp2, the only place that knows it: bytes in, events
// out; frames to send come out as bytes. No sockets, no clock (the time is an argument). A session
// belongs to one thread.
//
// nghttp2 keeps the protocol's state and refuses malformed messages. What it lets a peer do all the
// same, at no cost to the peer, is counted here (see `enum h2_cheap`) and ends the connection with
// ENHANCE_YOUR_CALM when there is too much of it.
//
// Calls out of h2_receive() and h2_produce() may submit and reset, but not destroy the session.
#pragma once
#include "base/str.h"
#include "http/header.h"
#include <stdbool.h>
#include <stdint.h>

struct h2;

enum h2_error { // RFC 9113, 7
    H2_NO_ERROR,
    H2_PROTOCOL_ERROR,
    H2_INTERNAL_ERROR,
    H2_FLOW_CONTROL_ERROR,
    H2_SETTINGS_TIMEOUT,
    H2_STREAM_CLOSED,
    H2_FRAME_SIZE_ERROR,
    H2_REFUSED_STREAM,
    H2_CANCEL,
    H2_COMPRESSION_ERROR,
    H2_CONNECT_ERROR,
    H2_ENHANCE_YOUR_CALM,
    H2_INADEQUATE_SECURITY,
    H2_HTTP_1_1_REQUIRED
};
const char *h2_error_word(uint32_t code); // "REFUSED_STREAM"

// What a peer may do for free. id, how many at once, how many a second again
#define H2_CHEAP(X)                                                                                \
    X(RESET, 200, 30)     /* streams that the client resets before they are answered */            \
    X(CONTROL, 400, 50)   /* PING, SETTINGS, PRIORITY, unknown frames */                           \
    X(WINDOW, 4000, 2000) /* WINDOW_UPDATE */                                                      \
    X(EMPTY, 100, 20)     /* DATA and HEADERS frames without content that end nothing */           \
    X(INVALID, 100, 20)   /* streams that we have to reset because they are malformed */
enum h2_cheap {
#define X(id, burst, per_second) H2_CHEAP_##id,
    H2_CHEAP(X)
#undef X
        H2_CHEAP_COUNT
};

struct h2_options {
    bool is_server;
    uint32_t concurrent_streams;               // that the peer may open
    uint32_t stream_window, connection_window; // bytes that the peer may send unasked
    uint32_t header_list_bytes;                // told to the peer
    bool connection_window_is_free; // given back at once: only streams hold the peer back
};

// What a session tells. `stream` is what on_begin (server) or h2_submit_request (client) gave.
struct h2_events {
    void *(*on_begin)(void *arg, int32_t id); // server; NULL: refused
    // A field of a head or trailer section, pseudo fields too; borrowed for the call. false: the
    // stream is reset (PROTOCOL_ERROR).
    bool (*on_field)(void *arg, void *stream, struct str name, struct str value, bool is_trailer);
    void (*on_head)(void *arg, void *stream, bool is_end); // complete; client: also 1xx
    void (*on_data)(void *arg, void *stream, struct str data);
    void (*on_end)(void *arg, void *stream, bool has_trailers); // END_STREAM (not told by on_head)
    // The stream is over, also after a reset of our own; `stream` is forgotten after this.
    void (*on_closed)(void *arg, void *stream, uint32_t code);
    // Body to send: *ret_data what there is of it (it must stay until the next call of
    // `body_sent`), up to `max`; *ret_is_end: nothing follows it. Empty and no end: h2_resume()
    // tells of more.
    void (*body)(void *arg, void *stream, size_t max, struct str *ret_data, bool *ret_is_end);
    // Also told of a response's head that is its end.
    void (*body_sent)(void *arg, void *stream, size_t n, bool is_end);
    // Trailers to send at the end: lines "name: value\r\n"; empty: none.
    struct str (*trailers)(void *arg, void *stream);
    void (*on_goaway)(void *arg, uint32_t code); // the peer takes no new streams
};

// Sends its preface and SETTINGS with the first h2_produce(). `events` and `arg` borrowed.
struct h2 *h2_create(const struct h2_options *options, const struct h2_events *events, void *arg);
void h2_destroy(struct h2 *h2); // NULL is fine; streams are not told
// false: the connection is over (a GOAWAY may wait in h2_produce): see h2_failure.
bool h2_receive(struct h2 *h2, struct str bytes, int64_t now_ms);
// Bytes for the wire, at most `cap` (>= H2_PRODUCE_MIN); 0: nothing waits.
enum { H2_PRODUCE_MIN = 1024 };
size_t h2_produce(struct h2 *h2, char *out, size_t cap);
bool h2_wants_write(const struct h2 *h2);
bool h2_is_over(const struct h2 *h2);       // after GOAWAY: nothing to read or write any more
struct str h2_failure(const struct h2 *h2); // words for the log; empty: none
uint32_t h2_n_streams(const struct h2 *h2);
bool h2_can_request(const struct h2 *h2);      // client: a further stream fits, no GOAWAY seen
uint32_t h2_streams_max(const struct h2 *h2);  // that the peer takes at once, as far as known
bool h2_peer_has_connect(const struct h2 *h2); // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441)
bool h2_has_settings(const struct h2 *h2);     // the peer's SETTINGS have come

// A head as text: lines of HTTP/1 ("name: value\r\n", any case), without a start line. Names are
// lower-cased in place.
struct h2_head {
    struct str method, scheme, authority, path, protocol; // request; protocol: extended CONNECT
    uint16_t status;                                      // response
    char *lines;
    size_t lines_len;
};
// Stream id, or -1.
int32_t h2_submit_request(struct h2 *h2, const struct h2_head *head, bool has_body, void *stream);
bool h2_submit_response(struct h2 *h2, int32_t id, const struct h2_head *head, bool has_body);
bool h2_submit_interim(struct h2 *h2, int32_t id, const struct h2_head *head); // 1xx
void h2_resume(struct h2 *h2, int32_t id);                                     // `body` has more
void h2_reset(struct h2 *h2, int32_t id, uint32_t code);
// In on_closed: did the peer reset it? If not, and neither did this side, its frames were wrong.
bool h2_is_reset_by_peer(const struct h2 *h2, int32_t id);
void h2_forget(struct h2 *h2, int32_t id); // its `stream` is told nothing any more
// Body bytes were used: the peer may send as many again.
void h2_consume(struct h2 *h2, int32_t id, size_t n);
void h2_announce_shutdown(struct h2 *h2);       // GOAWAY that takes all who are on their way
void h2_shutdown(struct h2 *h2, uint32_t code); // GOAWAY: no stream after those that are here
void h2_ping(struct h2 *h2);
// Costs the peer one of its free acts; false: too many, the connection ends.
bool h2_spend(struct h2 *h2, enum h2_cheap what);
