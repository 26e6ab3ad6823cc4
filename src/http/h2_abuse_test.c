// SPDX-License-Identifier: Apache-2.0
// What no peer may do, and what none may do too often: frames by hand against the engine.
#include "http/h2_test.h"

struct attack {
    struct end *server;
    struct buf in, said;
    int32_t next_id;
};

static int set_up(void **state)
{
    struct attack *attack = calloc(1, sizeof *attack);
    assert_non_null(attack);
    attack->server = end_create(&server_options);
    attack->next_id = 1;
    put_preface(&attack->in);
    put_frame(&attack->in, FRAME_SETTINGS, FLAG_ACK, 0, STR_NONE);
    assert_true(feed(attack->server, &attack->in));
    drain_output(attack->server, &attack->said);
    *state = attack;
    return 0;
}

static int tear_down(void **state)
{
    struct attack *attack = *state;
    end_destroy(attack->server);
    buf_fini(&attack->in);
    buf_fini(&attack->said);
    free(attack);
    return 0;
}

static struct attack *set_up_anew(void **state)
{
    tear_down(state);
    set_up(state);
    return *state;
}

static int32_t take_id(struct attack *attack)
{
    int32_t id = attack->next_id;
    attack->next_id += 2;
    return id;
}

// Feeds what was put. Whether the connection lives.
static bool strike(struct attack *attack)
{
    bool ok = feed(attack->server, &attack->in);
    drain_output(attack->server, &attack->said);
    return ok && said_code(&attack->said, FRAME_GOAWAY, 0) < 0;
}

static void expect_alive(struct attack *attack)
{
    int32_t id = take_id(attack);
    put_request(&attack->in, id, "GET", FLAG_END_STREAM);
    assert_true(strike(attack));
    struct message *message = find_message(attack->server, id);
    assert_non_null(message);
    assert_true(message->has_ended);
    send_response(message, 200, STR("x"));
    assert_true(strike(attack));
    assert_true(message->is_closed);
    assert_int_equal(message->code, H2_NO_ERROR);
}

static unsigned count_said(struct attack *attack, unsigned type, int32_t id)
{
    struct str rest = buf_str(&attack->said);
    struct frame frame;
    unsigned n = 0;
    while (take_frame(&rest, &frame))
        n += frame.type == type && frame.id == id;
    return n;
}

// ---- malformed heads ----

struct field {
    const char *name, *value;
};
struct malformed {
    const char *what;
    const struct field fields[8];
};
#define METHOD                                                                                     \
    {                                                                                              \
        ":method", "GET"                                                                           \
    }
#define SCHEME                                                                                     \
    {                                                                                              \
        ":scheme", "http"                                                                          \
    }
#define PATH                                                                                       \
    {                                                                                              \
        ":path", "/"                                                                               \
    }
#define PSEUDO                                                                                     \
    METHOD, SCHEME, PATH,                                                                          \
    {                                                                                              \
        ":authority", "a.example"                                                                  \
    }

static const struct malformed malformed[] = {
    {"upper case", {PSEUDO, {"X-Upper", "1"}}},
    {"upper case pseudo", {{":Method", "GET"}, SCHEME, PATH}},
    {"connection", {PSEUDO, {"connection", "close"}}},
    {"keep-alive", {PSEUDO, {"keep-alive", "timeout=5"}}},
    {"proxy-connection", {PSEUDO, {"proxy-connection", "close"}}},
    {"transfer-encoding", {PSEUDO, {"transfer-encoding", "chunked"}}},
    {"upgrade", {PSEUDO, {"upgrade", "websocket"}}},
    {"te with more than trailers", {PSEUDO, {"te", "gzip"}}},
    {"pseudo behind regular", {METHOD, SCHEME, {"a", "b"}, PATH}},
    {"pseudo twice", {PSEUDO, {":path", "/b"}}},
    {"unknown pseudo", {PSEUDO, {":unknown", "x"}}},
    {"status in a request", {PSEUDO, {":status", "200"}}},
    {"no method", {SCHEME, PATH}},
    {"no scheme", {METHOD, PATH}},
    {"no path", {METHOD, SCHEME}},
    {"empty path", {METHOD, SCHEME, {":path", ""}}},
    {"path without slash", {METHOD, SCHEME, {":path", "a"}}},
    {"CONNECT with a path", {{":method", "CONNECT"}, SCHEME, PATH, {":authority", "a"}}},
    {"CONNECT to nobody", {{":method", "CONNECT"}}},
    {"protocol without CONNECT", {PSEUDO, {":protocol", "websocket"}}},
    {"CR LF in a value", {PSEUDO, {"a", "b\r\nc: d"}}},
    {"LF in a value", {PSEUDO, {"a", "b\nc"}}},
    {"CR in a value", {PSEUDO, {"a", "b\rc"}}},
    {"CR LF in a name", {PSEUDO, {"a\r\nb", "c"}}},
    {"colon in a name", {PSEUDO, {"a:b", "c"}}},
    {"blank in a name", {PSEUDO, {"a b", "c"}}},
    {"empty name", {PSEUDO, {"", "c"}}},
    {"LF in the path", {METHOD, SCHEME, {":path", "/\na"}}},
    {"blank in the method", {{":method", "GE T"}, SCHEME, PATH}},
    {"blank in the authority", {METHOD, SCHEME, PATH, {":authority", "a b"}}},
    {"two lengths", {PSEUDO, {"content-length", "0"}, {"content-length", "0"}}},
    {"length that is no number", {PSEUDO, {"content-length", "1x"}}},
    {"length without a body", {PSEUDO, {"content-length", "5"}}},
    {"what on_field does not want", {PSEUDO, {"x-unwanted", "1"}}},
};

static void put_malformed(struct attack *attack, const struct malformed *row, int32_t id)
{
    struct buf block = {0};
    for (unsigned i = 0; i < 8 && row->fields[i].name; i++)
        put_field(&block, row->fields[i].name, str_of(row->fields[i].value));
    put_frame(&attack->in, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, id, buf_str(&block));
    buf_fini(&block);
}

static void test_a_malformed_head_costs_its_stream_and_no_more(void **state)
{
    struct attack *attack = *state;
    for (unsigned i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        int32_t id = take_id(attack);
        put_malformed(attack, &malformed[i], id);
        if (!strike(attack))
            fail_msg("%s: the connection ended", malformed[i].what);
        if (said_code(&attack->said, FRAME_RST_STREAM, id) != H2_PROTOCOL_ERROR)
            fail_msg("%s: reset with %d", malformed[i].what,
                     (int)said_code(&attack->said, FRAME_RST_STREAM, id));
        if (count_said(attack, FRAME_RST_STREAM, id) != 1)
            fail_msg("%s: reset %u times", malformed[i].what,
                     count_said(attack, FRAME_RST_STREAM, id));
        struct message *message = find_message(attack->server, id);
        if (message && (message->n_heads > 0 || message->has_ended || !message->is_closed))
            fail_msg("%s: was taken", malformed[i].what);
        assert_int_equal(h2_n_streams(attack->server->h2), 0);
    }
    expect_alive(attack);
}

static void test_nul_in_a_value_costs_the_stream(void **state)
{
    struct attack *attack = *state;
    struct buf block = {0};
    put_request_fields(&block, "GET");
    put_field(&block, "a", STR("b\0c"));
    put_frame(&attack->in, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, take_id(attack),
              buf_str(&block));
    buf_fini(&block);
    assert_true(strike(attack));
    assert_int_equal(said_code(&attack->said, FRAME_RST_STREAM, 1), H2_PROTOCOL_ERROR);
    expect_alive(attack);
}

static void put_with_length(struct attack *attack, int32_t id, const char *length)
{
    struct buf block = {0};
    put_request_fields(&block, "POST");
    put_field(&block, "content-length", str_of(length));
    put_frame(&attack->in, FRAME_HEADERS, FLAG_END_HEADERS, id, buf_str(&block));
    buf_fini(&block);
}

static void test_a_body_of_another_length_costs_its_stream(void **state)
{
    struct attack *attack = *state;
    int32_t more = take_id(attack), less = take_id(attack), exact = take_id(attack);
    put_with_length(attack, more, "3");
    put_frame(&attack->in, FRAME_DATA, FLAG_END_STREAM, more, STR("four"));
    put_with_length(attack, less, "5");
    put_frame(&attack->in, FRAME_DATA, FLAG_END_STREAM, less, STR("four"));
    put_with_length(attack, exact, "4");
    put_frame(&attack->in, FRAME_DATA, FLAG_END_STREAM, exact, STR("four"));
    assert_true(strike(attack));
    assert_int_equal(said_code(&attack->said, FRAME_RST_STREAM, more), H2_PROTOCOL_ERROR);
    assert_int_equal(said_code(&attack->said, FRAME_RST_STREAM, less), H2_PROTOCOL_ERROR);
    assert_false(find_message(attack->server, more)->has_ended);
    assert_false(find_message(attack->server, less)->has_ended);
    assert_true(find_message(attack->server, exact)->has_ended);
    expect_alive(attack);
}

static void test_a_malformed_trailer_costs_its_stream(void **state)
{
    struct attack *attack = *state;
    static const struct field bad[] = {
        {":path", "/"}, {"X-Upper", "1"}, {"connection", "close"}, {"a", "b\r\nc"}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t id = take_id(attack);
        struct buf block = {0};
        put_request(&attack->in, id, "POST", 0);
        put_field(&block, bad[i].name, str_of(bad[i].value));
        put_frame(&attack->in, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, id,
                  buf_str(&block));
        buf_fini(&block);
        assert_true(strike(attack));
        assert_int_equal(said_code(&attack->said, FRAME_RST_STREAM, id), H2_PROTOCOL_ERROR);
        assert_false(find_message(attack->server, id)->has_ended);
    }
    expect_alive(attack);
}

// ---- what ends the connection ----

static void test_each_breach_of_the_protocol_ends_the_connection(void **state)
{
    struct attack *attack = *state;
    static const struct {
        unsigned type, flags;
        int32_t id;
        struct str payload;
        unsigned code;
    } rows[] = {
        {FRAME_DATA, 0, 0, {"x", 1}, H2_PROTOCOL_ERROR},
        {FRAME_DATA, 0, 9, {"x", 1}, H2_PROTOCOL_ERROR}, // idle
        {FRAME_DATA, FLAG_PADDED, 1, {"\xff", 1}, H2_PROTOCOL_ERROR},
        {FRAME_HEADERS, FLAG_END_HEADERS, 0, {"", 0}, H2_PROTOCOL_ERROR},
        {FRAME_HEADERS, FLAG_END_HEADERS, 2, {"", 0}, H2_PROTOCOL_ERROR}, // a server's
        {FRAME_HEADERS, FLAG_END_HEADERS, 3, {"\xff\xff\xff\xff\xff\xff", 6}, H2_COMPRESSION_ERROR},
        {FRAME_RST_STREAM, 0, 9, {"\0\0\0\0", 4}, H2_PROTOCOL_ERROR}, // idle
        {FRAME_RST_STREAM, 0, 1, {"\0\0\0", 3}, H2_FRAME_SIZE_ERROR},
        {FRAME_SETTINGS, 0, 1, {"", 0}, H2_PROTOCOL_ERROR},
        {FRAME_SETTINGS, FLAG_ACK, 0, {"\0\0\0\0\0\0", 6}, H2_FRAME_SIZE_ERROR},
        {FRAME_SETTINGS, 0, 0, {"\0\4\xff\xff\xff\xff", 6}, H2_FLOW_CONTROL_ERROR},
        {FRAME_PUSH_PROMISE, FLAG_END_HEADERS, 1, {"\0\0\0\2", 4}, H2_PROTOCOL_ERROR},
        {FRAME_PING, 0, 0, {"short", 5}, H2_FRAME_SIZE_ERROR},
        {FRAME_WINDOW_UPDATE, 0, 0, {"\0\0\0\0", 4}, H2_PROTOCOL_ERROR},
        {FRAME_WINDOW_UPDATE, 0, 0, {"\x7f\xff\xff\xff", 4}, H2_FLOW_CONTROL_ERROR},
        {FRAME_CONTINUATION, FLAG_END_HEADERS, 1, {"", 0}, H2_PROTOCOL_ERROR},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_request(&attack->in, take_id(attack), "POST", 0);
        assert_true(strike(attack));
        put_frame(&attack->in, rows[i].type, rows[i].flags, rows[i].id, rows[i].payload);
        if (strike(attack) || said_code(&attack->said, FRAME_GOAWAY, 0) != rows[i].code)
            fail_msg("row %u ended with %d", i, (int)said_code(&attack->said, FRAME_GOAWAY, 0));
        assert_true(h2_is_over(attack->server->h2));
        attack = set_up_anew(state);
    }
}

static void test_a_stream_that_was_left_out_ends_the_connection(void **state)
{
    struct attack *attack = *state;
    attack->next_id = 5;
    expect_alive(attack);
    put_request(&attack->in, 3, "GET", FLAG_END_STREAM);
    assert_false(strike(attack));
    assert_int_equal(said_code(&attack->said, FRAME_GOAWAY, 0), H2_PROTOCOL_ERROR);
    assert_string_equal(h2_failure(attack->server->h2).ptr, "http2.stream_id");
    assert_null(find_message(attack->server, 3));
}

// Trailers of a request that was answered and reset may still be on their way (RFC 9113, 5.1).
static void test_trailers_that_cross_a_reset_are_passed_over(void **state)
{
    struct attack *attack = *state;
    int32_t id = take_id(attack);
    put_request(&attack->in, id, "POST", 0);
    assert_true(strike(attack));
    expect_alive(attack);
    h2_reset(attack->server->h2, id, H2_NO_ERROR);
    forget_message(find_message(attack->server, id));
    assert_true(strike(attack));
    put_frame(&attack->in, FRAME_DATA, 0, id, STR("late"));
    struct buf block = {0};
    put_field(&block, "a", STR("b"));
    put_frame(&attack->in, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, id, buf_str(&block));
    buf_fini(&block);
    assert_true(strike(attack));
    expect_alive(attack);
}

static void test_other_beginnings_are_no_http_2(void **state)
{
    struct attack *attack = *state;
    struct end *server = end_create(&server_options);
    buf_add_text(&attack->in, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_false(feed(server, &attack->in));
    assert_string_equal(h2_failure(server->h2).ptr, "http2.bad_client_magic");
    end_destroy(server);
    server = end_create(&server_options);
    buf_add_text(&attack->in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(&attack->in, FRAME_PING, 0, 0, STR("12345678")); // SETTINGS come first
    feed(server, &attack->in);
    attack->said.len = 0;
    drain_output(server, &attack->said);
    assert_true(said_code(&attack->said, FRAME_GOAWAY, 0) == H2_PROTOCOL_ERROR ||
                h2_failure(server->h2).len > 0);
    end_destroy(server);
}

// ---- floods ----

static void begin_stream(struct attack *attack)
{
    put_request(&attack->in, take_id(attack), "POST", 0);
}

static void act_reset(struct attack *attack)
{
    int32_t id = take_id(attack);
    put_request(&attack->in, id, "GET", FLAG_END_STREAM);
    put_u32(&attack->in, FRAME_RST_STREAM, id, H2_CANCEL);
}
static void act_ping(struct attack *attack)
{
    put_frame(&attack->in, FRAME_PING, 0, 0, STR("12345678"));
}
static void act_settings(struct attack *attack)
{
    put_frame(&attack->in, FRAME_SETTINGS, 0, 0, STR_NONE);
}
static void act_priority(struct attack *attack)
{
    put_frame(&attack->in, FRAME_PRIORITY, 0, 1, STR("\0\0\0\0\x10"));
}
static void act_unknown(struct attack *attack)
{
    put_frame(&attack->in, 0x7e, 0, 0, STR("?"));
}
static void act_reset_nobody(struct attack *attack)
{
    put_u32(&attack->in, FRAME_RST_STREAM, 1, H2_CANCEL); // closed already
}
static void act_window(struct attack *attack)
{
    put_u32(&attack->in, FRAME_WINDOW_UPDATE, 0, 1);
}
static void act_stream_window(struct attack *attack)
{
    put_u32(&attack->in, FRAME_WINDOW_UPDATE, 1, 1);
}
static void act_empty_data(struct attack *attack)
{
    put_frame(&attack->in, FRAME_DATA, 0, 1, STR_NONE);
}
static void act_padding(struct attack *attack)
{
    put_frame(&attack->in, FRAME_DATA, FLAG_PADDED, 1, STR("\0"));
}
static void act_more_padding(struct attack *attack)
{
    put_frame(&attack->in, FRAME_DATA, FLAG_PADDED, 1, STR("\3\0\0\0"));
}
static void act_empty_head(struct attack *attack)
{
    struct buf block = {0};
    int32_t id = take_id(attack);
    put_request_fields(&block, "GET");
    put_frame(&attack->in, FRAME_HEADERS, FLAG_END_STREAM, id, STR_NONE);
    put_frame(&attack->in, FRAME_CONTINUATION, FLAG_END_HEADERS, id, buf_str(&block));
    buf_fini(&block);
}
static void act_invalid(struct attack *attack)
{
    static const struct malformed bad = {"", {PSEUDO, {"X-Upper", "1"}}};
    put_malformed(attack, &bad, take_id(attack));
}
static void act_unwanted(struct attack *attack)
{
    static const struct malformed bad = {"", {PSEUDO, {"x-unwanted", "1"}}};
    put_malformed(attack, &bad, take_id(attack));
}
static void act_mismatch(struct attack *attack)
{
    int32_t id = take_id(attack);
    put_with_length(attack, id, "5");
    put_frame(&attack->in, FRAME_DATA, FLAG_END_STREAM, id, STR("four"));
}

static void act_overflow(struct attack *attack)
{
    int32_t id = take_id(attack);
    put_request(&attack->in, id, "GET", 0);
    put_u32(&attack->in, FRAME_WINDOW_UPDATE, id, 0x7fffffff);
}

struct bounds {
    uint32_t burst, per_second;
};
static const struct bounds bounds[] = {
#define X(id, burst, per_second) {burst, per_second},
    H2_CHEAP(X)
#undef X
};

struct flood {
    const char *what;
    enum h2_cheap cheap;
    void (*act)(struct attack *attack);
    unsigned spent;   // by set_up() and begin_stream()
    bool is_answered; // each act's stream, at once: keeps the number of open ones low
};
static const struct flood floods[] = {
    {"rapid resets", H2_CHEAP_RESET, act_reset, 0, false},
    {"PING", H2_CHEAP_CONTROL, act_ping, 1, false}, // the first SETTINGS
    {"SETTINGS", H2_CHEAP_CONTROL, act_settings, 1, false},
    {"PRIORITY", H2_CHEAP_CONTROL, act_priority, 1, false},
    {"unknown frames", H2_CHEAP_CONTROL, act_unknown, 1, false},
    {"WINDOW_UPDATE", H2_CHEAP_WINDOW, act_window, 0, false},
    {"WINDOW_UPDATE of a stream", H2_CHEAP_WINDOW, act_stream_window, 0, false},
    {"empty DATA", H2_CHEAP_EMPTY, act_empty_data, 0, false},
    {"DATA of padding's length alone", H2_CHEAP_EMPTY, act_padding, 0, false},
    {"DATA of padding", H2_CHEAP_EMPTY, act_more_padding, 0, false},
    {"empty HEADERS", H2_CHEAP_EMPTY, act_empty_head, 0, true},
    {"malformed heads", H2_CHEAP_INVALID, act_invalid, 0, false},
    {"heads not wanted", H2_CHEAP_INVALID, act_unwanted, 0, false},
    {"bodies of another length", H2_CHEAP_INVALID, act_mismatch, 0, false},
    {"windows too large", H2_CHEAP_INVALID, act_overflow, 0, false},
};

static bool act(struct attack *attack, const struct flood *flood)
{
    flood->act(attack);
    bool lives = strike(attack);
    if (lives && flood->is_answered) {
        send_response(&attack->server->messages[attack->server->n_messages - 1], 200, STR_NONE);
        lives = strike(attack);
    }
    attack->said.len = lives ? 0 : attack->said.len;
    return lives;
}

static void test_each_flood_ends_at_its_burst_and_not_before(void **state)
{
    struct attack *attack = *state;
    for (unsigned i = 0; i < sizeof floods / sizeof *floods; i++) {
        const struct flood *flood = &floods[i];
        const struct bounds *bound = &bounds[flood->cheap];
        begin_stream(attack); // stream 1
        assert_true(strike(attack));
        for (unsigned n = flood->spent; n < bound->burst; n++)
            if (!act(attack, flood))
                fail_msg("%s: ended at %u of %u: %s", flood->what, n, bound->burst,
                         h2_failure(attack->server->h2).ptr);
        attack->server->now_ms += 1000; // some come back with time
        for (unsigned n = 0; n < bound->per_second; n++)
            if (!act(attack, flood))
                fail_msg("%s: ended at %u of the second second's", flood->what, n);
        if (act(attack, flood))
            fail_msg("%s: goes on", flood->what);
        if (said_code(&attack->said, FRAME_GOAWAY, 0) != H2_ENHANCE_YOUR_CALM)
            fail_msg("%s: ended with %d", flood->what,
                     (int)said_code(&attack->said, FRAME_GOAWAY, 0));
        assert_true(str_has_prefix(h2_failure(attack->server->h2), STR("http2.too_many_")));
        assert_true(h2_is_over(attack->server->h2));
        attack = set_up_anew(state);
    }
}

// The same of a stream that is gone: nothing is known of it any more.
static void test_a_flood_of_resets_for_nobody_ends(void **state)
{
    struct attack *attack = *state;
    expect_alive(attack);
    unsigned n = 0;
    do
        act_reset_nobody(attack);
    while (strike(attack) && ++n < 1000);
    assert_in_range(n, bounds[H2_CHEAP_CONTROL].burst - 2, bounds[H2_CHEAP_CONTROL].burst);
    assert_int_equal(said_code(&attack->said, FRAME_GOAWAY, 0), H2_ENHANCE_YOUR_CALM);
}

static void test_a_flood_of_heads_for_nobody_ends(void **state)
{
    struct attack *attack = *state;
    begin_stream(attack);
    assert_true(strike(attack));
    h2_reset(attack->server->h2, 1, H2_CANCEL);
    forget_message(find_message(attack->server, 1));
    assert_true(strike(attack));
    unsigned n = 0;
    do
        put_request(&attack->in, 1, "GET", 0);
    while (strike(attack) && ++n < 1000);
    assert_in_range(n, bounds[H2_CHEAP_CONTROL].burst - 2, bounds[H2_CHEAP_CONTROL].burst);
    assert_int_equal(said_code(&attack->said, FRAME_GOAWAY, 0), H2_ENHANCE_YOUR_CALM);
}

static void test_a_head_in_too_many_parts_ends_the_connection(void **state)
{
    struct attack *attack = *state;
    put_frame(&attack->in, FRAME_HEADERS, 0, 1, STR_NONE);
    unsigned n = 0;
    do
        put_frame(&attack->in, FRAME_CONTINUATION, 0, 1, STR("\0\1a\1b"));
    while (strike(attack) && ++n < 1000);
    assert_true(n < 40);
    assert_false(h2_receive(attack->server->h2, STR("x"), 0));
}

static void test_a_head_in_parts_may_come_byte_by_byte(void **state)
{
    struct attack *attack = *state;
    struct buf block = {0}, whole = {0};
    put_request_fields(&block, "GET");
    put_frame(&whole, FRAME_HEADERS, FLAG_END_STREAM, take_id(attack),
              str_upto(buf_str(&block), 10));
    put_frame(&whole, FRAME_CONTINUATION, 0, 1, str_upto(str_from(buf_str(&block), 10), 10));
    put_frame(&whole, FRAME_CONTINUATION, FLAG_END_HEADERS, 1, str_from(buf_str(&block), 20));
    for (size_t i = 0; i < whole.len; i++) {
        buf_add_char(&attack->in, whole.data[i]);
        assert_true(strike(attack));
    }
    buf_fini(&block);
    buf_fini(&whole);
    assert_true(find_message(attack->server, 1)->has_ended);
}

static void test_nothing_is_given_back_above_the_burst(void **state)
{
    struct attack *attack = *state;
    attack->server->now_ms += 3600 * 1000;
    act_ping(attack);
    assert_true(strike(attack));
    for (unsigned n = 1; n < bounds[H2_CHEAP_CONTROL].burst; n++) {
        act_ping(attack);
        assert_true(strike(attack));
    }
    act_ping(attack);
    assert_false(strike(attack));
}

static void test_answered_streams_give_resets_back(void **state)
{
    struct attack *attack = *state;
    const struct flood resets = {"", H2_CHEAP_RESET, act_reset, 0, false};
    for (unsigned n = 0; n < bounds[H2_CHEAP_RESET].burst; n++)
        assert_true(act(attack, &resets));
    for (unsigned n = 0; n < 5; n++)
        expect_alive(attack);
    for (unsigned n = 0; n < 5; n++)
        assert_true(act(attack, &resets));
    assert_false(act(attack, &resets));
}

static void test_data_gives_control_frames_and_window_updates_back(void **state)
{
    static char body[64 * 1024];
    struct attack *attack = *state;
    const struct flood pings = {"", H2_CHEAP_CONTROL, act_ping, 1, false};
    begin_stream(attack);
    assert_true(strike(attack));
    for (unsigned n = 1; n < bounds[H2_CHEAP_CONTROL].burst; n++)
        assert_true(act(attack, &pings));
    for (unsigned n = 0; n < 10; n++) { // a client that measures while it sends
        put_frame(&attack->in, FRAME_DATA, 0, 1, STR("data"));
        assert_true(act(attack, &pings));
    }
    assert_false(act(attack, &pings));

    attack = set_up_anew(state);
    const struct flood updates = {"", H2_CHEAP_WINDOW, act_window, 0, false};
    for (unsigned n = 0; n < bounds[H2_CHEAP_WINDOW].burst; n++)
        assert_true(act(attack, &updates));
    int32_t id = take_id(attack);
    put_request(&attack->in, id, "GET", FLAG_END_STREAM);
    assert_true(strike(attack));
    send_response(find_message(attack->server, id), 200, (struct str){body, sizeof body});
    assert_true(strike(attack)); // 64 KiB, in 4 frames or more
    for (unsigned n = 0; n < 64; n++)
        assert_true(act(attack, &updates));
    unsigned more = 0;
    while (act(attack, &updates))
        assert_true(more++ < 64);
}

static void test_what_a_caller_spends_counts(void **state)
{
    struct attack *attack = *state;
    for (unsigned n = 0; n < bounds[H2_CHEAP_INVALID].burst; n++)
        assert_true(h2_spend(attack->server->h2, H2_CHEAP_INVALID));
    assert_false(h2_spend(attack->server->h2, H2_CHEAP_INVALID));
    assert_false(h2_spend(attack->server->h2, H2_CHEAP_RESET)); // it is over
    assert_false(strike(attack));
    assert_string_equal(h2_failure(attack->server->h2).ptr, "http2.too_many_invalid_streams");
}

static void test_no_event_comes_once_the_connection_has_failed(void **state)
{
    struct attack *attack = *state;
    for (unsigned n = 0; n < bounds[H2_CHEAP_CONTROL].burst; n++)
        act_ping(attack);
    put_request(&attack->in, take_id(attack), "GET", FLAG_END_STREAM); // in the same read
    assert_false(strike(attack));
    assert_int_equal(said_code(&attack->said, FRAME_GOAWAY, 0), H2_ENHANCE_YOUR_CALM);
    assert_int_equal(attack->server->n_messages, 0);
    put_request(&attack->in, take_id(attack), "GET", FLAG_END_STREAM);
    assert_false(strike(attack));
    assert_int_equal(attack->server->n_messages, 0);
}

// An endpoint is ours to choose: it may ping as it likes.
static void test_a_client_counts_none_of_it(void **state)
{
    (void)state;
    struct end *client = end_create(&client_options);
    struct buf in = {0}, said = {0};
    put_frame(&in, FRAME_SETTINGS, 0, 0, STR_NONE);
    assert_true(feed(client, &in));
    for (unsigned n = 0; n < 2000; n++) {
        put_frame(&in, FRAME_PING, 0, 0, STR("12345678"));
        assert_true(feed(client, &in));
        drain_output(client, &said);
    }
    assert_int_equal(said_code(&said, FRAME_GOAWAY, 0), -1);
    end_destroy(client);
    buf_fini(&in);
    buf_fini(&said);
}

// Before it has acknowledged our SETTINGS an endpoint may not know that we want none.
static void test_a_push_is_refused_or_ends_the_connection(void **state)
{
    struct attack *attack = *state;
    for (int is_told = 0; is_told < 2; is_told++) {
        struct end *client = end_create(&client_options);
        struct message *request = send_request(client, "GET", "/");
        struct buf block = {0};
        drain_output(client, &attack->said);
        buf_add(&block, "\0\0\0\2", 4);
        put_request_fields(&block, "GET");
        put_frame(&attack->in, FRAME_SETTINGS, 0, 0, STR_NONE);
        if (is_told)
            put_frame(&attack->in, FRAME_SETTINGS, FLAG_ACK, 0, STR_NONE);
        put_frame(&attack->in, FRAME_PUSH_PROMISE, FLAG_END_HEADERS, request->id, buf_str(&block));
        buf_fini(&block);
        feed(client, &attack->in);
        attack->said.len = 0;
        drain_output(client, &attack->said);
        assert_int_equal(said_code(&attack->said, FRAME_GOAWAY, 0),
                         is_told ? H2_PROTOCOL_ERROR : -1);
        assert_int_equal(said_code(&attack->said, FRAME_RST_STREAM, 2), is_told ? -1 : H2_CANCEL);
        assert_int_equal(client->n_messages, 1);
        end_destroy(client);
    }
}

static void test_a_malformed_response_is_reset(void **state)
{
    struct attack *attack = *state;
    static const struct field rows[][3] = {
        {{"a", "b"}},
        {{":status", "20"}},
        {{":status", "abc"}},
        {{":status", "101"}},
        {{":status", "200"}, {"connection", "close"}},
        {{":status", "200"}, {"Upper", "x"}},
        {{":status", "200"}, {":path", "/"}},
        {{":status", "200"}, {"a", "b\r\nc"}},
    };
    struct end *client = end_create(&client_options);
    put_frame(&attack->in, FRAME_SETTINGS, 0, 0, STR_NONE);
    assert_true(feed(client, &attack->in));
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct message *request = send_request(client, "GET", "/");
        struct buf block = {0};
        drain_output(client, &attack->said);
        for (unsigned j = 0; j < 3 && rows[i][j].name; j++)
            put_field(&block, rows[i][j].name, str_of(rows[i][j].value));
        put_frame(&attack->in, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, request->id,
                  buf_str(&block));
        buf_fini(&block);
        assert_true(feed(client, &attack->in));
        drain_output(client, &attack->said);
        if (!request->is_closed || request->n_heads > 0 || request->code != H2_PROTOCOL_ERROR)
            fail_msg("row %u: closed %d, heads %u, code %u", i, request->is_closed,
                     request->n_heads, request->code);
    }
    end_destroy(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_malformed_head_costs_its_stream_and_no_more),
        TEST(nul_in_a_value_costs_the_stream),
        TEST(a_body_of_another_length_costs_its_stream),
        TEST(a_malformed_trailer_costs_its_stream),
        TEST(each_breach_of_the_protocol_ends_the_connection),
        TEST(a_stream_that_was_left_out_ends_the_connection),
        TEST(trailers_that_cross_a_reset_are_passed_over),
        TEST(other_beginnings_are_no_http_2),
        TEST(each_flood_ends_at_its_burst_and_not_before),
        TEST(a_flood_of_resets_for_nobody_ends),
        TEST(a_flood_of_heads_for_nobody_ends),
        TEST(a_head_in_too_many_parts_ends_the_connection),
        TEST(a_head_in_parts_may_come_byte_by_byte),
        TEST(nothing_is_given_back_above_the_burst),
        TEST(answered_streams_give_resets_back),
        TEST(data_gives_control_frames_and_window_updates_back),
        TEST(what_a_caller_spends_counts),
        TEST(no_event_comes_once_the_connection_has_failed),
        TEST(a_client_counts_none_of_it),
        TEST(a_push_is_refused_or_ends_the_connection),
        TEST(a_malformed_response_is_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
