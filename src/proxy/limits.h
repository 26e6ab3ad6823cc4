// SPDX-License-Identifier: Apache-2.0
// Every limit of the data plane that is not an option, in one place.
#pragma once

// Under the address sanitizer nothing is kept, so that a use after the end of a life is seen.
#if defined(__SANITIZE_ADDRESS__)
#define POOL_KEEPS(n) 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_KEEPS(n) 0
#endif
#endif
#ifndef POOL_KEEPS
#define POOL_KEEPS(n) (n)
#endif

enum {
    BUFFER_SMALL_BYTES = 16 * 1024, // a client's first read: heads and small bodies
    BUFFER_LARGE_BYTES = 68 * 1024, // responses and bodies: 64 KiB and a head in one read
    HEAD_BYTES_LIMIT =
        60 * 1024, // the most that the option may ask for: a head and more fits a buffer
    BUFFERS_KEPT = POOL_KEEPS(64),  // free buffers of each size that a worker keeps
    SCRATCH_BYTES = 192 * 1024,     // where a worker builds heads: the largest head and all we add
    STREAMS_KEPT = POOL_KEEPS(128), // free streams that a worker keeps
    HEAD_TEXT_BYTES = 4096,         // a head that came by HTTP/2; a larger one takes a large buffer
    HEADS_KEPT = POOL_KEEPS(256),
    TRAILER_BYTES_MAX = 8192,
    COOKIE_CRUMBS_MAX = 512,  // fields that are joined in one; browsers keep fewer for a site
    STREAM_ROOM_BYTES = 1024, // small values of one stream (paths, ids) without allocation

    LISTEN_BACKLOG = 4096,
    ACCEPTS_PER_EVENT = 64,
    REQUESTS_PER_EVENT = 64,          // pipelined on one connection; then others have their turn
    INTERIMS_PER_EVENT = 16,          // 1xx heads in front of one response
    ACCEPT_PAUSE_MS = 100,            // after accept(2) ran out of descriptors
    RELAY_BYTES_PER_RUN = 512 * 1024, // then other connections have their turn
    COPY_BODY_MAX = 4096,             // a body slice up to this is copied behind its head: one send
    CHUNK_ROOM_FRONT = 12,            // for a chunk's size line in front of what was read
    CHUNK_ROOM = 28,                  // and for its end
    FIRST_READ_BYTES = 16 * 1024,     // of a response
    SPLICE_MIN_BYTES = 32 * 1024,     // a remaining body from this on goes through a pipe
    SPLICE_MORE_MIN_BYTES = 16 * 1024,
    PIPE_BYTES = 1024 * 1024,
    SPLICE_BYTES_PER_RUN = 2 * 1024 * 1024, // as RELAY_BYTES_PER_RUN, of bytes that nobody copies
    PIPES_KEPT = 16,
    TUNNEL_SPLICE_BYTES = 64 * 1024, // a tunnel's read of so much shows a long transfer: spliced
    TUNNEL_SMALL_BYTES = 16 * 1024,  // and so many reads below this one show that it is over
    TUNNEL_SMALL_READS = 8,

    // Idle connections that a worker needs less often than this are for all workers ...
    SHARE_GAP_MS = 10,
    SHARE_AFTER_MS = 48, // ... and so are those that it kept and has not needed for so long
    KEEP_TICK_MS = 250,  // how often they are looked after

    RACE_AFTER_MS = 250,          // a connect that takes longer has a rival of the other IP family
    RACE_REMEMBERED_MS = 60000,   // how long the family that won goes first
    IDLE_LIMIT_FLOOR_MS = 1000,   // an endpoint's idle limit below this is not believed
    IDLE_LIMIT_KEPT_MS = 1800000, // how long one that was learnt is believed
    DEMAND_MS = 1000,             // a worker tells of its requests to the outside so often
    WARM_CONNECTIONS_MAX = 8,     // of an endpoint, by the recent peak; the option may ask for more
    WARM_WINDOW_MS = 60000,       // of the peak: this one and the one before
    WARM_AHEAD_MS = 1000,         // a replacement comes so long before the end of the old one
    WARM_LIFE_MIN_MS = 2000,      // none are kept warm that may not even wait for so long
    WARM_PAUSE_MS = 1000,         // after a connect that failed; doubled each time
    WARM_PAUSE_MAX_MS = 60000,
    EXTERNAL_AGE_MS = 3600 * 1000, // of connections to the outside, where no manifest says another

    // TLS connections of one endpoint (and worker) that wait, where each is for one host
    UPSTREAM_HOSTS_MAX = 64,

    // Names that requests ask for, of each worker
    NAMES_KNOWN_MAX = 4096,
    NAMES_AWAITED_MAX = 1024,  // names whose answer streams wait for; over it: no answer
    NAME_QUESTIONS_MAX = 8192, // of all workers that the control thread has not taken up yet
    NAME_BYTES_MAX = 253,      // RFC 1035, 2.3.4, without the dot at its end
    NAME_STALE_MS = 30000,   // an answer is served so long past its end while a new one is awaited
    NAME_VALID_MIN_MS = 100, // of an answer: those who waited for it must find it valid

    // HTTP/2: what a client or an endpoint may have on its way.
    H2_CLIENT_STREAMS_MAX = 128,
    H2_ENDPOINT_STREAMS_MAX = 1024, // of ours on one connection, if the endpoint lets us
    H2_FIRST_STREAMS_MAX = 100,     // ... as long as its SETTINGS have not come (RFC 9113, 6.5.2)
    H2_STREAM_WINDOW_BYTES = 256 * 1024,
    H2_CLIENT_WINDOW_BYTES = 1024 * 1024, // of all streams of a connection
    H2_ENDPOINT_WINDOW_BYTES = 16 * 1024 * 1024,
    H2_HEADS_BYTES_MAX = 512 * 1024, // of all streams of a connection
    H2_DROPPED_FIELDS_MAX =
        1000,                 // of a head that is too large (431); with more its stream is reset
    H2_OUT_BYTES = 64 * 1024, // frames made for one write
    H2_LAST_CALL_MS = 500, // draining: requests on their way may still come after the first GOAWAY

    TRIES_MAX = 3,     // of one request, over all endpoints
    PATCHES_MAX = 64,  // headers that routes may set, add or remove in one head
    TRAILERS_KEPT = 8, // trailers remembered for the access log

    DROP_BODY_MAX = 64 * 1024, // rest of a request body that an answer of ours did not wait for:
                               // read and dropped, so that the connection lives on

    HALF_CLOSE_GRACE_MS = 2000, // a client that ended its side may still read an answer for so long
    DRAIN_GRACE_MS =
        500, // from accepting: a connection that has asked for nothing yet is on its way to
    LOG_FLUSH_MS = 50, // oldest access-log line in a worker's chunk

    // Endpoints that no snapshot has, of all workers; each has an equal part.
    DYNAMIC_ENDPOINTS_MAX = 4096,
    DYNAMIC_FAILURE_MS = 10000, // an address of a name that could not be connected to: others first

    SLOTS_PER_PAGE = 64,
    SLOT_PAGES_MAX = 32768, // 2 million clusters or endpoints
};
