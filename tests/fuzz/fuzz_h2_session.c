// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 peer's bytes, in the role of either side. Twice the session only listens: whole and in
// pieces they tell the same. Once it acts as the proxy does: answers, resets, forgets, gives
// windows back, pings and says good-bye at any time. A stream lives on the heap from its first
// event to its last, so that AddressSanitizer sees an event that comes too late.
#include "fuzz.h"
#include "http/h2.h"
#include <string.h>

enum {
    STREAMS_MAX = 16,
    STREAM_WINDOW = 3000,
    DEFAULT_WINDOW = 65535,
    CONNECTION_WINDOW = 66000,
    BODY_MAX = 40000
};

struct session;
struct told {
    struct session *session;
    int32_t id;
    bool has_head, has_ended, is_answered;
    uint64_t received, unconsumed, hash;
    size_t to_send;
    bool is_open;      // more than to_send will come
    bool has_trailers; // to send
};

struct session {
    struct h2 *h2;
    struct told *live[STREAMS_MAX + 1];
    unsigned n_live;
    uint64_t unconsumed; // of the connection
    uint64_t digest;     // of what was told
    uint64_t last;       // the digest when the peer said good-bye; 0: it has not
    uint32_t random;
    bool is_server, is_free, acts, is_producing;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

static uint64_t mix_str(uint64_t hash, struct str text)
{
    hash = mix(hash, text.len);
    for (size_t i = 0; i < text.len; i++)
        hash = mix(hash, (unsigned char)text.ptr[i]);
    return hash;
}

static uint32_t next_random(struct session *session)
{
    session->random ^= session->random << 13;
    session->random ^= session->random >> 17;
    session->random ^= session->random << 5;
    return session->random;
}

static struct told *add(struct session *session, int32_t id)
{
    CHECK(session->n_live < STREAMS_MAX);
    struct told *told = calloc(1, sizeof *told);
    CHECK(told);
    told->session = session;
    told->id = id;
    session->live[session->n_live++] = told;
    return told;
}

static void drop(struct session *session, struct told *told)
{
    unsigned i = 0;
    while (i < session->n_live && session->live[i] != told)
        i++;
    CHECK(i < session->n_live);
    session->live[i] = session->live[--session->n_live];
    free(told);
}

// ---- events ----

static void *on_begin(void *arg, int32_t id)
{
    struct session *session = arg;
    CHECK(session->is_server && id % 2 == 1);
    session->digest = mix(session->digest, (uint64_t)id);
    if (session->acts && next_random(session) % 16 == 0)
        return NULL;
    return add(session, id);
}

static bool on_field(void *arg, void *stream, struct str name, struct str value, bool is_trailer)
{
    struct session *session = arg;
    struct told *told = stream;
    CHECK(!told->has_ended && name.len > 0);
    for (size_t i = 0; i < name.len; i++)
        CHECK((unsigned char)name.ptr[i] > ' ' && ascii_lower(name.ptr[i]) == name.ptr[i]);
    for (size_t i = 0; i < value.len; i++)
        CHECK(value.ptr[i] != '\r' && value.ptr[i] != '\n' && value.ptr[i] != '\0');
    if (is_trailer)
        CHECK(told->has_head && name.ptr[0] != ':');
    session->digest = mix_str(mix_str(mix(session->digest, (uint64_t)told->id), name), value);
    return !session->acts || next_random(session) % 64 != 0;
}

static void end(struct told *told)
{
    CHECK(told->has_head && !told->has_ended);
    told->has_ended = true;
    // The bytes count now: of a body that is found to be too long some may have been told.
    told->session->digest = mix(mix(told->session->digest, told->received), told->hash);
}

static void on_head(void *arg, void *stream, bool is_end)
{
    struct session *session = arg;
    struct told *told = stream;
    told->has_head = true;
    session->digest = mix(session->digest, 1);
    if (is_end)
        end(told);
}

static void on_data(void *arg, void *stream, struct str data)
{
    struct session *session = arg;
    struct told *told = stream;
    CHECK(told->has_head && !told->has_ended && data.len > 0);
    told->received += data.len;
    told->unconsumed += data.len;
    session->unconsumed += data.len;
    // No more than was given may come: the default until our SETTINGS are acknowledged.
    CHECK(told->unconsumed <= DEFAULT_WINDOW);
    CHECK(session->is_free || session->unconsumed <= CONNECTION_WINDOW);
    for (size_t i = 0; i < data.len; i++)
        told->hash = mix(told->hash, (unsigned char)data.ptr[i]);
}

static void on_end(void *arg, void *stream, bool has_trailers)
{
    (void)arg, (void)has_trailers;
    end(stream);
}

static void on_closed(void *arg, void *stream, uint32_t code)
{
    struct session *session = arg;
    struct told *told = stream;
    if (!session->is_producing) // what is closed by a frame of ours depends on when it goes
        session->digest = mix(session->digest, code);
    if (told->unconsumed > 0) // as the proxy does
        h2_consume(session->h2, told->id, told->unconsumed);
    session->unconsumed -= told->unconsumed;
    drop(session, told);
}

static void body(void *arg, void *stream, size_t max, struct str *ret_data, bool *ret_is_end)
{
    static const char bytes[BODY_MAX];
    (void)arg;
    struct told *told = stream;
    size_t n = told->to_send < max ? told->to_send : max;
    *ret_data = (struct str){bytes, n};
    *ret_is_end = n == told->to_send && !told->is_open;
}

static void body_sent(void *arg, void *stream, size_t n, bool is_end)
{
    (void)arg;
    struct told *told = stream;
    CHECK(n <= told->to_send);
    told->to_send -= n;
    CHECK(!is_end || (told->to_send == 0 && !told->is_open));
}

static struct str trailers(void *arg, void *stream)
{
    (void)arg;
    const struct told *told = stream;
    return told->has_trailers ? STR("grpc-status: 0\r\nX-Sum: 1\r\n") : STR_NONE;
}

// What comes behind it may be passed over: between two pieces the session may be found to be over.
static void on_goaway(void *arg, uint32_t code)
{
    struct session *session = arg;
    if (!session->last)
        session->last = mix(session->digest, code);
    CHECK(!h2_can_request(session->h2));
}

static const struct h2_events events = {
    .on_begin = on_begin,
    .on_field = on_field,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_closed,
    .body = body,
    .body_sent = body_sent,
    .trailers = trailers,
    .on_goaway = on_goaway,
};

// ---- acts ----

static void request(struct session *session, const char *method, bool has_body)
{
    char lines[] = "User-Agent: fuzz\r\nx-a: b\r\n";
    bool is_extended = strcmp(method, "CONNECT") == 0;
    const struct h2_head head = {.method = str_of(method),
                                 .scheme = STR("http"),
                                 .authority = STR("a.example"),
                                 .path = STR("/"),
                                 .protocol = is_extended ? STR("websocket") : STR_NONE,
                                 .lines = lines,
                                 .lines_len = sizeof lines - 1};
    struct told *told = add(session, 0);
    told->to_send = has_body ? BODY_MAX : 0;
    told->is_open = is_extended;
    told->is_answered = true;
    told->id = h2_submit_request(session->h2, &head, has_body, told);
    if (told->id < 0)
        drop(session, told);
}

static void respond(struct session *session, struct told *told)
{
    char lines[] = "Content-Type: text/plain\r\nx-a: b\r\n";
    uint32_t choice = next_random(session);
    struct h2_head head = {.status = 200, .lines = lines, .lines_len = sizeof lines - 1};
    if (choice % 8 == 0) {
        head.status = 103;
        h2_submit_interim(session->h2, told->id, &head);
        return;
    }
    bool has_body = choice % 2;
    told->to_send = has_body ? next_random(session) % BODY_MAX : 0;
    told->is_open = choice / 2 % 4 == 0;
    told->has_trailers = choice / 8 % 2;
    told->is_answered = true;
    h2_submit_response(session->h2, told->id, &head, has_body);
}

static void consume(struct session *session, struct told *told)
{
    uint64_t n = told->unconsumed ? 1 + next_random(session) % told->unconsumed : 0;
    if (n == 0)
        return;
    told->unconsumed -= n;
    session->unconsumed -= n;
    h2_consume(session->h2, told->id, n);
}

// As a stream of the proxy that is over before its end.
static void leave(struct session *session, struct told *told)
{
    static const uint32_t codes[] = {H2_NO_ERROR, H2_CANCEL, H2_INTERNAL_ERROR, H2_REFUSED_STREAM};
    int32_t id = told->id;
    h2_reset(session->h2, id, codes[next_random(session) % 4]);
    h2_forget(session->h2, id);
    if (told->unconsumed > 0)
        h2_consume(session->h2, id, told->unconsumed);
    session->unconsumed -= told->unconsumed;
    drop(session, told);
}

static void act_on(struct session *session, struct told *told)
{
    switch (next_random(session) % 6) {
    case 0:
        leave(session, told);
        return;
    case 1:
        told->is_open = false;
        h2_resume(session->h2, told->id);
        return;
    case 2:
    case 3:
        consume(session, told);
        return;
    default:
        if (session->is_server && told->has_head && !told->is_answered)
            respond(session, told);
    }
}

static void act(struct session *session)
{
    for (unsigned i = session->n_live; i-- > 0;)
        act_on(session, session->live[i]);
    uint32_t choice = next_random(session);
    if (choice % 8 == 0)
        h2_ping(session->h2);
    if (choice / 8 % 64 == 0)
        h2_announce_shutdown(session->h2);
    if (choice / 512 % 64 == 0)
        h2_shutdown(session->h2, H2_NO_ERROR);
    if (!session->is_server && session->n_live < STREAMS_MAX / 2 && h2_can_request(session->h2))
        request(session, choice / 32768 % 2 ? "POST" : "GET", choice / 32768 % 2);
}

// ---- output ----

struct output {
    unsigned char head[9];
    size_t n_head, payload_left;
    bool is_preface_over;
    uint64_t bytes;
};

// Only whole frames of a permitted size come out, whatever went in.
static void check_output(struct output *output, const char *bytes, size_t n, bool is_server)
{
    size_t at = 0;
    if (!output->is_preface_over && !is_server) {
        CHECK(n >= 24 && memcmp(bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) == 0);
        at = 24;
    }
    output->is_preface_over = true;
    while (at < n) {
        if (output->n_head < 9) {
            output->head[output->n_head++] = (unsigned char)bytes[at++];
            if (output->n_head < 9)
                continue;
            output->payload_left =
                (size_t)output->head[0] << 16 | (size_t)output->head[1] << 8 | output->head[2];
            CHECK(output->payload_left <= 16384 && output->head[3] <= 9);
        } else {
            size_t part = n - at < output->payload_left ? n - at : output->payload_left;
            at += part;
            output->payload_left -= part;
        }
        if (output->payload_left == 0)
            output->n_head = 0;
    }
    output->bytes += n;
}

static void produce(struct session *session, struct output *output, size_t cap)
{
    char *out = malloc(cap);
    size_t n;
    CHECK(out);
    session->is_producing = true;
    while ((n = h2_produce(session->h2, out, cap)) > 0) {
        CHECK(n <= cap);
        check_output(output, out, n, session->is_server);
        CHECK(output->bytes < 100u << 20); // comes to an end
    }
    session->is_producing = false;
    free(out);
    CHECK(output->n_head == 0);
}

// ---- runs ----

struct plan {
    bool is_server, is_free;
    size_t step, cap;
    uint32_t random;
};

static void begin(struct session *session, const struct plan *plan, bool acts)
{
    const struct h2_options options = {.is_server = plan->is_server,
                                       .concurrent_streams = STREAMS_MAX,
                                       .stream_window = STREAM_WINDOW,
                                       .connection_window = CONNECTION_WINDOW,
                                       .header_list_bytes = 20000,
                                       .connection_window_is_free = plan->is_free};
    *session = (struct session){.is_server = plan->is_server,
                                .is_free = plan->is_free,
                                .acts = acts,
                                .random = plan->random,
                                .digest = 14695981039346656037u};
    session->h2 = h2_create(&options, &events, session);
    if (session->is_server)
        return;
    request(session, "GET", false); // streams 1, 3, 5, 7
    request(session, "POST", true);
    request(session, "HEAD", false);
    request(session, "CONNECT", true);
}

static uint64_t run(const struct plan *plan, bool acts, size_t step, const uint8_t *data,
                    size_t size, bool *ret_has_failed)
{
    struct session session;
    struct output output = {0};
    int64_t now_ms = 1000;
    begin(&session, plan, acts);
    produce(&session, &output, 65536); // ours goes first: the peer may answer it
    for (size_t at = 0; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        char *piece = exact_copy(data + at, n);
        bool ok = h2_receive(session.h2, (struct str){piece, n}, now_ms);
        free(piece);
        if (!ok) {
            CHECK(h2_failure(session.h2).len > 0);
            CHECK(!h2_receive(session.h2, STR("x"), now_ms));
            break;
        }
        CHECK(h2_n_streams(session.h2) == session.n_live);
        if (!acts)
            continue;
        act(&session);
        if (next_random(&session) % 3)
            produce(&session, &output, plan->cap);
        now_ms += next_random(&session) % 200;
    }
    produce(&session, &output, plan->cap);
    *ret_has_failed = str_is(h2_failure(session.h2), "http2.protocol_error");
    uint64_t digest = session.last ? session.last : session.digest;
    while (session.n_live > 0)
        drop(&session, session.live[0]);
    h2_destroy(session.h2);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned first = take_byte(&data, &size), second = take_byte(&data, &size);
    const struct plan plan = {.is_server = first & 1,
                              .is_free = first & 2,
                              .step = 1 + (first >> 2),
                              .cap = H2_PRODUCE_MIN + 97 * (second & 63),
                              .random = 1 + second};
    bool whole_failed, pieces_failed;
    uint64_t whole = run(&plan, false, size ? size : 1, data, size, &whole_failed);
    uint64_t pieces = run(&plan, false, plan.step, data, size, &pieces_failed);
    // How many parts of a head are too many depends on how they are cut.
    CHECK(whole == pieces || whole_failed || pieces_failed);
    run(&plan, true, plan.step * 4, data, size, &pieces_failed);
    return 0;
}
