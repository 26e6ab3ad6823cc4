// SPDX-License-Identifier: Apache-2.0
// HTTP/1.0 and HTTP/1.1 heads and chunked bodies: bytes in, values out; no sockets, no clock, no
// allocation. Strict by RFC 9112: what could be read in two ways is an error. Any thread.
#pragma once
#include "http/header.h"

enum http_method {
    METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_CONNECT,
    METHOD_OPTIONS, METHOD_TRACE, METHOD_PATCH
};

enum h1_status { H1_DONE, H1_MORE, H1_ERROR };

// Why a head or chunk was refused: id, status to answer (0: a response from upstream), detail word
// for %RESPONSE_CODE_DETAILS%, sentence.
// clang-format off
#define H1_ERRORS(X) \
    X(NONE, 0, "", "") \
    X(REQUEST_LINE, 400, "http1.codec_error", "malformed request line") \
    X(METHOD, 400, "http1.codec_error", "malformed method") \
    X(TARGET, 400, "http1.invalid_url", "malformed request target") \
    X(TARGET_TOO_LONG, 414, "http1.uri_too_long", "request target too long") \
    X(VERSION, 505, "low_version", "not HTTP/1.0 or HTTP/1.1") \
    X(STATUS_LINE, 502, "http1.codec_error", "malformed status line") \
    X(HEADER_NAME, 400, "http1.invalid_characters", "malformed header name") \
    X(HEADER_VALUE, 400, "http1.invalid_characters", "control character in a header value") \
    X(LINE_END, 400, "http1.codec_error", "line not ended by CR LF") \
    X(OBS_FOLD, 400, "http1.codec_error", "folded header line") \
    X(HEADERS_TOO_LARGE, 431, "http1.headers_too_large", "header fields too large") \
    X(TOO_MANY_HEADERS, 431, "http1.too_many_headers", "too many header fields") \
    X(HOST_MISSING, 400, "missing_host_header", "no Host") \
    X(HOST_REPEATED, 400, "http1.codec_error", "more than one Host") \
    X(HOST_INVALID, 400, "http1.invalid_url", "malformed Host") \
    X(CONTENT_LENGTH, 400, "http1.codec_error", "malformed or contradicting Content-Length") \
    X(LENGTH_AND_CHUNKED, 400, "http1.content_length_and_chunked_not_allowed", "Content-Length together with Transfer-Encoding") \
    X(TRANSFER_ENCODING, 501, "http1.invalid_transfer_encoding", "transfer coding other than chunked") \
    X(TRANSFER_ENCODING_REPEATED, 400, "http1.invalid_transfer_encoding", "chunked is not the last and only coding") \
    X(TRANSFER_ENCODING_1_0, 400, "http1.transfer_encoding_not_allowed", "Transfer-Encoding in HTTP/1.0") \
    X(CONNECTION_HEADER, 400, "http1.connection_header_rejected", "Connection names a header that must not be removed") \
    X(UPGRADE, 501, "upgrade_failed", "upgrade to a protocol that is not passed on") \
    X(CHUNK_SIZE, 400, "http1.codec_error", "malformed chunk size") \
    X(CHUNK_EXTENSION, 400, "http1.codec_error", "malformed or too long chunk extension") \
    X(CHUNK_END, 400, "http1.codec_error", "chunk data not followed by CR LF") \
    X(TRAILER, 400, "http1.codec_error", "malformed or forbidden trailer")
// clang-format on

enum h1_error {
#define X(id, status, detail, sentence) H1_ERROR_##id,
    H1_ERRORS(X)
#undef X
    H1_ERROR_COUNT
};
uint16_t h1_error_status(enum h1_error error);
const char *h1_error_detail(enum h1_error error);
const char *h1_error_sentence(enum h1_error error);

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct h1_limits {
    uint32_t head_bytes_max;   // whole head, start line included (431)
    uint32_t target_bytes_max; // request target (414)
    uint16_t headers_max;      // <= HEADERS_MAX (431)
};

struct h1_request {
    struct str method;
    enum http_method method_id;
    // As sent: origin-form, or "*"; of absolute-form the part from the path on ("/" when empty, but
    // "?query" when only the path is: `path` is "/" then).
    struct str target;
    struct str path;   // target without query; as sent (not normalised); empty for CONNECT
    struct str query;  // behind '?', without it; see has_query
    bool has_query;
    struct str authority; // Host as sent, or of absolute-form (which wins, RFC 9112, 3.2.2); CONNECT: its target
    struct str scheme;    // of absolute-form; else empty
    uint8_t minor;        // HTTP/1.<minor>
    bool keep_alive;      // by version and Connection
    bool is_upgrade;      // Connection: upgrade and an Upgrade header, HTTP/1.1
    bool expects_continue;
    bool te_trailers;
    enum body_kind body; // NONE (also Content-Length: 0), LENGTH or CHUNKED
    uint64_t content_length;
    struct header_list headers; // items and cap set by the caller before parsing
};

struct h1_response {
    uint16_t status; // 100 to 599
    uint8_t minor;
    struct str reason;
    bool keep_alive;
    bool is_upgrade; // 101
    // By RFC 9112, 6.3 for the request it answers: NONE for HEAD, 1xx, 204, 304, 2xx to CONNECT and
    // a length of 0
    enum body_kind body;
    uint64_t content_length; // as sent, also for HEAD; see has_content_length
    bool has_content_length;
    struct header_list headers;
};

// Parses one head at the start of `data`. DONE: *ret_len is its length (body begins there); slices
// point into `data`. MORE: nothing usable yet; *scanned keeps the place where the search for the
// end goes on (start with 0), so that a head that comes in drops is not read again each time.
// ERROR: *reterr_error. One CR LF (or more) before a request line is skipped (RFC 9112, 2.2).
enum h1_status h1_parse_request(struct h1_request *req, const struct h1_limits *limits,
                                const char *data, size_t len, size_t *scanned, size_t *ret_len,
                                enum h1_error *reterr_error);
enum h1_status h1_parse_response(struct h1_response *res, enum http_method request_method,
                                 const struct h1_limits *limits, const char *data, size_t len,
                                 size_t *scanned, size_t *ret_len, enum h1_error *reterr_error);

// Chunked decoding (RFC 9112, 7.1), incremental. Each call looks at `data` and yields one event.
enum h1_chunk_event {
    H1_CHUNK_MORE,    // all of *ret_used consumed, nothing to show
    H1_CHUNK_DATA,    // *ret_data is body (a slice of `data`)
    H1_CHUNK_TRAILER, // one trailer field: *ret_name, *ret_data; good until the next call
    H1_CHUNK_END,     // the body is complete; *ret_used stops right behind it
    H1_CHUNK_ERROR,   // see chunked->error; for good
};
enum { H1_CHUNK_LINE_MAX = 1024 }; // extensions of a size line; a trailer line
struct h1_chunked {
    uint8_t state;
    uint8_t n_trailers;
    uint16_t line_len;      // bytes of the extensions or of the trailer line so far
    uint32_t trailer_bytes; // of all trailer lines; at most 8 KiB
    uint64_t left;          // of the current chunk; while its size is read: the size so far
    enum h1_error error;
    char line[H1_CHUNK_LINE_MAX + 2]; // a trailer line that came in pieces, with CR LF
};
void h1_chunked_init(struct h1_chunked *chunked);
enum h1_chunk_event h1_chunked_next(struct h1_chunked *chunked, const char *data, size_t len,
                                    size_t *ret_used, struct str *ret_data, struct str *ret_name);

bool http_method_is_idempotent(enum http_method method); // RFC 9110, 9.2.2
const char *http_reason(unsigned status);                // "Not Found"; "" when unknown
