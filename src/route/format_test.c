// SPDX-License-Identifier: Apache-2.0
#include "route/format.h"

#include "base/buf.h"
#include "base/doc.h"
#include "route/format_operators.h"
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MS = 1000000 };

// One request with a value for all that can have one.
struct fixture {
    struct arena *arena;
    struct request_info info;
    struct header request_items[8], response_items[8], trailers[2];
    struct header_list request, response;
    struct header_patch request_patches[6], response_patches[4];
    struct address remote, direct_remote, local, direct_local, upstream_local, upstream_remote;
    struct str hosts[3];
    uint64_t connections[2];
};

static void add_header(struct header_list *list, const char *name, const char *value)
{
    uint8_t id = (uint8_t)header_id_of(str_of(name));
    list->items[list->n++] =
        (struct header){.name = str_of(name), .value = str_of(value), .id = id};
    if (id != HEADER_OTHER && list->first[id] == 0)
        list->first[id] = (uint8_t)list->n;
}

static void patch_request(struct fixture *f, const char *name, const char *value)
{
    f->request_patches[f->info.n_request_patches++] =
        (struct header_patch){str_of(name), str_of(value), value == NULL};
}

static void patch_response(struct fixture *f, const char *name, const char *value)
{
    f->response_patches[f->info.n_response_patches++] =
        (struct header_patch){str_of(name), str_of(value), value == NULL};
}

static void fill_addresses(struct fixture *f)
{
    assert_true(address_parse(STR("10.0.0.9:51000"), &f->remote));
    assert_true(address_parse(STR("10.0.0.8:52000"), &f->direct_remote));
    assert_true(address_parse(STR("10.244.1.5:8080"), &f->local));
    assert_true(address_parse(STR("[2001:db8::1]:80"), &f->direct_local));
    assert_true(address_parse(STR("10.244.1.5:41234"), &f->upstream_local));
    assert_true(address_parse(STR("10.244.1.7:8080"), &f->upstream_remote));
    f->info.downstream_remote = &f->remote;
    f->info.downstream_direct_remote = &f->direct_remote;
    f->info.downstream_local = &f->local;
    f->info.downstream_direct_local = &f->direct_local;
    f->info.upstream_local = &f->upstream_local;
    f->info.upstream_remote = &f->upstream_remote;
    f->hosts[0] = STR("10.244.1.6:8080");
    f->hosts[1] = STR("[2001:db8::7]:8080");
    f->hosts[2] = STR("10.244.1.7:8080");
    f->connections[0] = 8;
    f->connections[1] = 9;
    f->info.hosts_attempted = f->hosts;
    f->info.n_hosts_attempted = 3;
    f->info.upstream_connection_ids = f->connections;
    f->info.n_upstream_connection_ids = 2;
    f->info.upstream_host = f->hosts[2];
}

static void fill_headers(struct fixture *f)
{
    f->request = (struct header_list){.items = f->request_items, .cap = 8};
    add_header(&f->request, "Host", "as.sent.example");
    add_header(&f->request, "User-Agent", "curl/8.5.0");
    add_header(&f->request, "X-Envoy-Decorator", "deco");
    add_header(&f->request, "X-Twice", "one");
    add_header(&f->request, "x-twice", "two");
    add_header(&f->request, "X-Envoy-Original-Host", "orig.example.com");
    add_header(&f->request, "X-Empty", "");
    add_header(&f->request, "X-Quote", "a\"b\\c\td\x80\xc3\xa9");
    f->response = (struct header_list){.items = f->response_items, .cap = 8};
    add_header(&f->response, "Server", "gunicorn/20");
    add_header(&f->response, "Content-Type", "text/html");
    f->trailers[0] = (struct header){.name = STR("Grpc-Status"), .value = STR("3")};
    f->trailers[1] = (struct header){.name = STR("X-Sum"), .value = STR("42")};
    f->info.request = &f->request;
    f->info.response = &f->response;
    f->info.trailers = f->trailers;
    f->info.n_trailers = 2;
    f->info.request_patches = f->request_patches;
    f->info.response_patches = f->response_patches;
    patch_request(f, "x-forwarded-for", "10.0.0.9");
    patch_response(f, "server", "istio-envoy");
    patch_response(f, "x-envoy-upstream-service-time", "3");
}

static void fill_texts(struct request_info *info)
{
    info->method = STR("GET");
    info->scheme = STR("http");
    info->path = STR("/get?a=1&b=x%20y%0Az&a=2");
    info->original_path = STR("/api/get?a=1&b=x%20y%0Az&a=2");
    info->authority = STR("httpbin.example.com");
    info->protocol = STR("HTTP/1.1");
    info->upstream_protocol = STR("HTTP/1.0");
    info->details = STR("upstream_reset{connection failure}");
    info->retry_reason = STR("GET_is_idempotent");
    info->termination_details = STR("idle");
    info->upstream_transport_failure = STR("refused");
    info->downstream_transport_failure = STR("no shared cipher");
    info->local_reply_body = STR("no healthy\nupstream\n");
    info->downstream_close_reason = STR("drain");
    info->upstream_close_reason = STR("idle_timeout");
    info->downstream_close_type = STR("Normal");
    info->upstream_close_type = STR("RemoteReset");
    info->cluster = STR("outbound|8000||httpbin.default.svc.cluster.local");
    info->route = STR("default");
    info->requested_server_name = STR("sni.example.com");
    info->request_id = STR("5d1c9a0e-7a65-9f0c-8e51-2f6b6f1a2b3c");
    info->virtual_host = STR("httpbin.example.com:80");
    info->listener_name = STR("http 0.0.0.0:80");
}

static void fill_numbers(struct request_info *info)
{
    info->start_wall_ns = INT64_C(1767607200123456789); // 2026-01-05T10:00:00Z
    info->now_wall_ns = info->start_wall_ns + INT64_C(2000) * MS;
    info->downstream_rx_begin_ns = 1000 * MS;
    info->downstream_rx_end_ns = 1001 * MS;
    info->upstream_connect_begin_ns = 1002 * MS;
    info->upstream_connect_end_ns = 1004 * MS;
    info->upstream_tx_begin_ns = 1005 * MS;
    info->upstream_tx_end_ns = 1006 * MS + 500;
    info->upstream_rx_begin_ns = 1010 * MS;
    info->upstream_rx_body_begin_ns = 1011 * MS;
    info->upstream_rx_end_ns = 1012 * MS;
    info->downstream_tx_begin_ns = 1013 * MS;
    info->downstream_tx_end_ns = 1015 * MS;
    info->connection_begin_ns = 900 * MS;
    info->connection_end_ns = 1100 * MS;
    info->upstream_pool_ready_ns = 2 * MS;
    info->status = 503;
    info->flags = FLAG_BIT(UF) | FLAG_BIT(URX);
    info->bytes_received = 7;
    info->bytes_sent = UINT64_C(18446744073709);
    info->request_head_bytes = 101;
    info->response_head_bytes = 102;
    info->response_trailer_bytes = 103;
    info->downstream_wire_received = 104;
    info->downstream_wire_sent = 105;
    info->upstream_wire_received = 106;
    info->upstream_wire_sent = 107;
    info->upstream_head_sent = 108;
    info->upstream_head_received = 109;
    info->attempts = 3;
    info->connection_id = 7;
    info->upstream_connection_id = 9;
    info->random = 1;
    info->random2 = 2;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->arena = arena_create(0);
    fill_headers(f);
    fill_addresses(f);
    fill_texts(&f->info);
    fill_numbers(&f->info);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_destroy(f->arena);
    free(f);
    return 0;
}

static const struct format *parse(struct fixture *f, const char *text, unsigned flags)
{
    struct format_error error = {0};
    const struct format *format = format_parse(f->arena, str_of(text), flags, &error);
    if (!format)
        fail_msg("%s: at %zu: %s", text, error.offset, error.message);
    return format;
}

static const char *render_format(struct fixture *f, const struct format *format)
{
    char out[8192];
    size_t len = format_render(format, &f->info, out, sizeof(out));
    assert_true(len < sizeof(out));
    return arena_str(f->arena, (struct str){out, len}).ptr;
}

static const char *render(struct fixture *f, const char *text)
{
    return render_format(f, parse(f, text, 0));
}

static const char *render_json(struct fixture *f, const char *text)
{
    struct format_error error = {0};
    const struct format *format = format_parse_json(f->arena, str_of(text), &error);
    if (!format)
        fail_msg("%s: at %zu: %s", text, error.offset, error.message);
    return render_format(f, format);
}

// ---- every operator ----

struct operator_case {
    const char *format, *value; // NULL: tested apart
    const char *json;           // standing alone in JSON
};

static const struct operator_case operator_cases[] = {
    {"%REQ(:METHOD)%", "GET", "\"GET\""},
    {"%RESP(server)%", "istio-envoy", "\"istio-envoy\""},
    {"%TRAILER(X-SUM)%", "42", "\"42\""},
    {"%REQUEST_HEADER(user-agent):4%", "curl", "\"curl\""},
    {"%RESPONSE_HEADER(X-No?Content-Type):4%", "text", "\"text\""},
    {"%RESPONSE_TRAILER(x-no?x-sum)%", "42", "\"42\""},
    {"%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/api/get", "\"/api/get\""},
    {"%PATH%", "/api/get?a=1&b=x%20y%0Az&a=2", "\"/api/get?a=1&b=x%20y%0Az&a=2\""},
    {"%QUERY_PARAM(a)%", "1", "\"1\""},
    {"%QUERY_PARAMS%", "a=1&b=x%20y%0Az&a=2", "\"a=1&b=x%20y%0Az&a=2\""},
    {"%COALESCE({\"operators\":[\"VIRTUAL_CLUSTER_NAME\",\"RESPONSE_CODE\"]})%", "503", NULL},
    {"%PROTOCOL%", "HTTP/1.1", "\"HTTP/1.1\""},
    {"%UPSTREAM_PROTOCOL%", "HTTP/1.0", "\"HTTP/1.0\""},
    {"%RESPONSE_CODE%", "503", "503"},
    {"%RESPONSE_CODE_DETAILS%", "upstream_reset{connection_failure}",
     "\"upstream_reset{connection_failure}\""},
    {"%RESPONSE_FLAGS%", "UF,URX", "\"UF,URX\""},
    {"%RESPONSE_FLAGS_LONG%", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded",
     "\"UpstreamConnectionFailure,UpstreamRetryLimitExceeded\""},
    {"%RETRY_REASON%", "GET_is_idempotent", "\"GET_is_idempotent\""},
    {"%CONNECTION_TERMINATION_DETAILS%", "idle", "\"idle\""},
    {"%GRPC_STATUS%", "InvalidArgument", "\"InvalidArgument\""},
    {"%GRPC_STATUS_NUMBER%", "3", "3"},
    {"%LOCAL_REPLY_BODY%", "no healthy upstream", "\"no healthy upstream\""},
    {"%ROUTE_NAME%", "default", "\"default\""},
    {"%VIRTUAL_CLUSTER_NAME%", "-", "null"},
    {"%UPSTREAM_CLUSTER%", "outbound|8000||httpbin.default.svc.cluster.local",
     "\"outbound|8000||httpbin.default.svc.cluster.local\""},
    {"%UPSTREAM_CLUSTER_RAW%", "outbound|8000||httpbin.default.svc.cluster.local",
     "\"outbound|8000||httpbin.default.svc.cluster.local\""},
    {"%FILTER_CHAIN_NAME%", "http 0.0.0.0:80", "\"http 0.0.0.0:80\""},
    {"%ACCESS_LOG_TYPE%", "DownstreamEnd", "\"DownstreamEnd\""},
    {"%UNIQUE_ID%", NULL, NULL},
    {"%STREAM_ID%", "5d1c9a0e-7a65-9f0c-8e51-2f6b6f1a2b3c",
     "\"5d1c9a0e-7a65-9f0c-8e51-2f6b6f1a2b3c\""},
    {"%CONNECTION_ID%", "7", "7"},
    {"%UPSTREAM_CONNECTION_ID%", "9", "9"},
    {"%UPSTREAM_CONNECTION_IDS_ATTEMPTED%", "8,9", "\"8,9\""},
    {"%BYTES_RECEIVED%", "7", "7"},
    {"%BYTES_SENT%", "18446744073709", "18446744073709"},
    {"%REQUEST_HEADERS_BYTES%", "101", "101"},
    {"%RESPONSE_HEADERS_BYTES%", "102", "102"},
    {"%RESPONSE_TRAILERS_BYTES%", "103", "103"},
    {"%UPSTREAM_WIRE_BYTES_SENT%", "107", "107"},
    {"%UPSTREAM_WIRE_BYTES_RECEIVED%", "106", "106"},
    {"%UPSTREAM_HEADER_BYTES_SENT%", "108", "108"},
    {"%UPSTREAM_HEADER_BYTES_RECEIVED%", "109", "109"},
    {"%UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT%", "108", "108"},
    {"%UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED%", "109", "109"},
    {"%DOWNSTREAM_WIRE_BYTES_SENT%", "105", "105"},
    {"%DOWNSTREAM_WIRE_BYTES_RECEIVED%", "104", "104"},
    {"%DOWNSTREAM_HEADER_BYTES_SENT%", "102", "102"},
    {"%DOWNSTREAM_HEADER_BYTES_RECEIVED%", "101", "101"},
    {"%DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT%", "102", "102"},
    {"%DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED%", "101", "101"},
    {"%BYTES_RETRANSMITTED%", "-", "null"},
    {"%PACKETS_RETRANSMITTED%", "-", "null"},
    {"%START_TIME%", "2026-01-05T10:00:00.123Z", "\"2026-01-05T10:00:00.123Z\""},
    {"%START_TIME_LOCAL%", "2026-01-05T13:30:00.123+0330", "\"2026-01-05T13:30:00.123+0330\""},
    {"%EMIT_TIME%", "2026-01-05T10:00:02.123Z", "\"2026-01-05T10:00:02.123Z\""},
    {"%EMIT_TIME_LOCAL(%H:%M %Z)%", "13:30 TST", "\"13:30 TST\""},
    {"%DURATION%", "15", "15"},
    {"%REQUEST_DURATION%", "1", "1"},
    {"%REQUEST_TX_DURATION%", "6", "6"},
    {"%RESPONSE_DURATION%", "10", "10"},
    {"%RESPONSE_TX_DURATION%", "5", "5"},
    {"%DOWNSTREAM_HANDSHAKE_DURATION%", "-", "null"},
    {"%ROUNDTRIP_DURATION%", "-", "null"},
    {"%UPSTREAM_CONNECTION_POOL_READY_DURATION%", "2", "2"},
    {"%COMMON_DURATION(US_TX_BEG:US_TX_END:us)%", "1000", "1000"},
    {"%UPSTREAM_HOST%", "10.244.1.7:8080", "\"10.244.1.7:8080\""},
    {"%UPSTREAM_HOST_NAME%", "10.244.1.7:8080", "\"10.244.1.7:8080\""},
    {"%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "10.244.1.7", "\"10.244.1.7\""},
    {"%UPSTREAM_HOSTS_ATTEMPTED%", "10.244.1.6:8080,[2001:db8::7]:8080,10.244.1.7:8080", NULL},
    {"%UPSTREAM_HOST_NAMES_ATTEMPTED%", "10.244.1.6:8080,[2001:db8::7]:8080,10.244.1.7:8080", NULL},
    {"%UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT%", "10.244.1.6,2001:db8::7,10.244.1.7", NULL},
    {"%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "3", "3"},
    {"%UPSTREAM_LOCAL_ADDRESS%", "10.244.1.5:41234", "\"10.244.1.5:41234\""},
    {"%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "10.244.1.5", "\"10.244.1.5\""},
    {"%UPSTREAM_LOCAL_PORT%", "41234", "41234"},
    {"%UPSTREAM_REMOTE_ADDRESS%", "10.244.1.7:8080", "\"10.244.1.7:8080\""},
    {"%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.244.1.7", "\"10.244.1.7\""},
    {"%UPSTREAM_REMOTE_PORT%", "8080", "8080"},
    {"%DOWNSTREAM_REMOTE_ADDRESS%", "10.0.0.9:51000", "\"10.0.0.9:51000\""},
    {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%", "10.0.0.0/8", "\"10.0.0.0/8\""},
    {"%DOWNSTREAM_REMOTE_PORT%", "51000", "51000"},
    {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.0.0.8:52000", "\"10.0.0.8:52000\""},
    {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.8", "\"10.0.0.8\""},
    {"%DOWNSTREAM_DIRECT_REMOTE_PORT%", "52000", "52000"},
    {"%DOWNSTREAM_LOCAL_ADDRESS%", "10.244.1.5:8080", "\"10.244.1.5:8080\""},
    {"%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(16)%", "10.244.0.0/16", "\"10.244.0.0/16\""},
    {"%DOWNSTREAM_LOCAL_PORT%", "8080", "8080"},
    {"%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%", "[2001:db8::1]:80", "\"[2001:db8::1]:80\""},
    {"%DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT(21)%", "2001:800::/21", NULL},
    {"%DOWNSTREAM_DIRECT_LOCAL_PORT%", "80", "80"},
    {"%UPSTREAM_TRANSPORT_FAILURE_REASON%", "refused", "\"refused\""},
    {"%DOWNSTREAM_TRANSPORT_FAILURE_REASON%", "no shared cipher", "\"no shared cipher\""},
    {"%DOWNSTREAM_LOCAL_CLOSE_REASON%", "drain", "\"drain\""},
    {"%UPSTREAM_LOCAL_CLOSE_REASON%", "idle_timeout", "\"idle_timeout\""},
    {"%DOWNSTREAM_DETECTED_CLOSE_TYPE%", "Normal", "\"Normal\""},
    {"%UPSTREAM_DETECTED_CLOSE_TYPE%", "RemoteReset", "\"RemoteReset\""},
    {"%REQUESTED_SERVER_NAME%", "sni.example.com", "\"sni.example.com\""},
    {"%HOSTNAME%", NULL, NULL},
    {"%ENVIRONMENT(SLUICEGATE_TEST):5%", "value", "\"value\""},
};

static void test_every_operator_renders_its_value_in_text_and_json(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(operator_cases) / sizeof(operator_cases[0]); i++) {
        const struct operator_case *c = &operator_cases[i];
        if (c->value)
            assert_string_equal(render(f, c->format), c->value);
        if (c->json) {
            const char *text = arena_printf(f->arena, "{\"v\": \"%s\"}", c->format).ptr;
            const char *line = arena_printf(f->arena, "{\"v\":%s}\n", c->json).ptr;
            assert_string_equal(render_json(f, text), line);
        }
    }
}

static bool has_case(const struct operator* row)
{
    struct str name = str_of(row->name);
    for (size_t i = 0; i < sizeof(operator_cases) / sizeof(operator_cases[0]); i++) {
        struct str rest = str_from(str_of(operator_cases[i].format), 1);
        if (str_has_prefix(rest, name) && (rest.ptr[name.len] == '%' || rest.ptr[name.len] == '('))
            return true;
    }
    return false;
}

// On a plain connection absent; their values are tested where there are connections: in proxy.
static bool is_of_tls(const struct operator* row)
{
    return row->offset == offsetof(struct request_info, downstream_tls) ||
           row->offset == offsetof(struct request_info, upstream_tls);
}

static void test_every_row_is_tested_absent_or_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < n_operator_rows; i++) {
        const struct operator* row = & operator_rows[i];
        struct format_error error = {0};
        struct str text = arena_printf(f->arena, "%%%s%%", row->name);
        if (row->kind == OPERATOR_REFUSED) {
            assert_null(format_parse(f->arena, text, 0, &error));
            assert_non_null(strstr(error.message, row->name));
            assert_non_null(strstr(error.message, "is not served: "));
        } else if (row->kind == OPERATOR_ABSENT || is_of_tls(row)) {
            assert_string_equal(render(f, text.ptr), "-");
        } else if (!has_case(row)) {
            fail_msg("no case for %s", row->name);
        }
        assert_true(strlen(row->doc) > 10);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(row->name, operator_rows[j].name);
    }
}

// ---- the lines of the manual ----

static void test_the_default_format_writes_istio_s_line(void **state)
{
    struct fixture *f = *state;
    struct address remote, local, upstream_local;
    address_parse(STR("10.0.0.9:51000"), &remote);
    address_parse(STR("10.244.1.5:8080"), &local);
    address_parse(STR("10.244.1.5:41234"), &upstream_local);
    f->info = (struct request_info){
        .start_wall_ns = INT64_C(1767607200123000000),
        .downstream_rx_begin_ns = 1,
        .downstream_tx_end_ns = 4 * MS + 1,
        .method = STR("GET"),
        .path = STR("/status/200"),
        .authority = STR("httpbin.example.com"),
        .request = &f->request,
        .response = &f->response,
        .request_patches = f->request_patches,
        .response_patches = f->response_patches,
        .n_request_patches = 1,
        .n_response_patches = 2,
        .protocol = STR("HTTP/1.1"),
        .status = 200,
        .details = STR("via_upstream"),
        .downstream_remote = &remote,
        .downstream_local = &local,
        .upstream_local = &upstream_local,
        .upstream_host = STR("10.244.1.7:8080"),
        .cluster = STR("outbound|8000||httpbin.default.svc.cluster.local"),
        .request_id = STR("5d1c9a0e-7a65-9f0c-8e51-2f6b6f1a2b3c"),
    };
    assert_string_equal(
        render(f, format_istio_default),
        "[2026-01-05T10:00:00.123Z] \"GET /status/200 HTTP/1.1\" 200 - via_upstream - \"-\" 0 0 4 "
        "3 "
        "\"10.0.0.9\" \"curl/8.5.0\" \"5d1c9a0e-7a65-9f0c-8e51-2f6b6f1a2b3c\" "
        "\"httpbin.example.com\" \"10.244.1.7:8080\" "
        "outbound|8000||httpbin.default.svc.cluster.local 10.244.1.5:41234 10.244.1.5:8080 "
        "10.0.0.9:51000 - -\n");

    // No route: nothing upstream, and the service time that only an upstream gives.
    f->info.start_wall_ns = INT64_C(1767607201001000000);
    f->info.downstream_tx_end_ns = 1;
    f->info.path = STR("/1status/200");
    f->info.status = 404;
    f->info.flags = FLAG_BIT(NR);
    f->info.details = STR("route_not_found");
    f->info.n_response_patches = 1;
    f->info.request_id = STR("0b8f...");
    f->info.upstream_host = f->info.cluster = STR_NONE;
    f->info.upstream_local = NULL;
    remote.port = 51002;
    assert_string_equal(
        render(f, format_istio_default),
        "[2026-01-05T10:00:01.001Z] \"GET /1status/200 HTTP/1.1\" 404 NR route_not_found - \"-\" 0 "
        "0 "
        "0 - \"10.0.0.9\" \"curl/8.5.0\" \"0b8f...\" \"httpbin.example.com\" \"-\" - - "
        "10.244.1.5:8080 10.0.0.9:51002 - -\n");
}

static void test_the_default_format_writes_a_tcp_connection(void **state)
{
    struct fixture *f = *state;
    struct address remote, local, upstream_local;
    address_parse(STR("172.30.1.21:43956"), &remote);
    address_parse(STR("172.30.1.60:8443"), &local);
    address_parse(STR("172.30.1.60:41000"), &upstream_local);
    f->info = (struct request_info){
        .is_tcp = true,
        .start_wall_ns = INT64_C(1767607202500000000),
        .connection_begin_ns = 5 * MS,
        .connection_end_ns = 51 * MS,
        .bytes_received = 839,
        .bytes_sent = 250430,
        .downstream_remote = &remote,
        .downstream_local = &local,
        .upstream_local = &upstream_local,
        .upstream_host = STR("151.101.67.5:443"),
        .cluster = STR("outbound|443||edition.cnn.com"),
        .requested_server_name = STR("edition.cnn.com"),
    };
    assert_string_equal(
        render(f, format_istio_default),
        "[2026-01-05T10:00:02.500Z] \"- - -\" 0 - - - \"-\" 839 250430 46 - \"-\" \"-\" \"-\" "
        "\"-\" "
        "\"151.101.67.5:443\" outbound|443||edition.cnn.com 172.30.1.60:41000 172.30.1.60:8443 "
        "172.30.1.21:43956 edition.cnn.com -\n");
    assert_string_equal(render(f, "%ACCESS_LOG_TYPE%"), "TcpConnectionEnd");
    const char *line = render_json(f, "");
    assert_non_null(strstr(line,
                           "\"method\":null,\"path\":null,\"protocol\":\"-\",\"response_code\":0,"
                           "\"response_flags\":\"-\",\"response_code_details\":null,"));
}

static void test_the_default_json_has_istio_s_24_keys_in_order(void **state)
{
    struct fixture *f = *state;
    f->info.requested_server_name = STR_NONE;
    f->info.details = STR("via_upstream");
    f->info.original_path = STR_NONE;
    f->info.path = STR("/status/200");
    assert_string_equal(
        render_json(f, ""),
        "{\"start_time\":\"2026-01-05T10:00:00.123Z\",\"route_name\":\"default\",\"method\":"
        "\"GET\","
        "\"path\":\"/status/200\",\"protocol\":\"HTTP/1.1\",\"response_code\":503,"
        "\"response_flags\":\"UF,URX\",\"response_code_details\":\"via_upstream\","
        "\"connection_termination_details\":\"idle\",\"bytes_received\":7,"
        "\"bytes_sent\":18446744073709,\"duration\":15,\"upstream_service_time\":\"3\","
        "\"x_forwarded_for\":\"10.0.0.9\",\"user_agent\":\"curl/8.5.0\","
        "\"request_id\":\"5d1c9a0e-7a65-9f0c-8e51-2f6b6f1a2b3c\","
        "\"authority\":\"httpbin.example.com\",\"upstream_host\":\"10.244.1.7:8080\","
        "\"upstream_cluster\":\"outbound|8000||httpbin.default.svc.cluster.local\","
        "\"upstream_local_address\":\"10.244.1.5:41234\","
        "\"downstream_local_address\":\"10.244.1.5:8080\","
        "\"downstream_remote_address\":\"10.0.0.9:51000\",\"requested_server_name\":null,"
        "\"upstream_transport_failure_reason\":\"refused\"}\n");
}

// ---- headers ----

static void test_a_header_is_shown_as_it_stands_after_all_changes(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(render(f, "%REQ(X-TWICE)%"), "one");
    patch_request(f, "x-twice", NULL);
    assert_string_equal(render(f, "%REQ(X-TWICE)%"), "-");
    patch_request(f, "x-twice", "set again");
    patch_request(f, "x-twice", "and added to");
    assert_string_equal(render(f, "%REQ(X-TWICE)%"), "set again");
    assert_string_equal(render(f, "%REQ(X-Forwarded-For)%"), "10.0.0.9");
    patch_request(f, "x-request-id", "mine");
    assert_string_equal(render(f, "%REQ(x-request-id)% %STREAM_ID%"), "mine mine");
    assert_string_equal(render(f, "%RESP(:STATUS)% %RESP(X-NO)%"), "503 -");
}

static void test_host_and_authority_are_one(void **state)
{
    assert_string_equal(render(*state, "%REQ(HOST)% %REQ(:authority)% %REQ(:scheme)%"),
                        "httpbin.example.com httpbin.example.com http");
}

static void test_names_of_one_family_are_told_apart(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(render(f, "%REQ(X-ENVOY-DECORATOR)% %REQ(X-ENVOY-ORIGINAL-HOST)%"),
                        "deco orig.example.com");
    assert_string_equal(render(f, "%REQ(X-ENVOY-OTHER)%"), "-");
}

static void test_the_original_path_is_there_only_after_a_rewrite(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(render(f, "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):8%"), "/api/get");
    f->info.original_path = STR_NONE;
    assert_string_equal(render(f, "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):4% %PATH(NQ)%"), "/get /get");
    assert_string_equal(render(f, "%REQ(X-ENVOY-ORIGINAL-PATH)% %PATH(WQ:ORIG)%"), "- -");
}

static void test_a_request_without_heads_has_no_headers(void **state)
{
    struct fixture *f = *state;
    f->info = (struct request_info){.is_tcp = true};
    assert_string_equal(render(f, "%REQ(X)% %RESP(Y)% %TRAILER(Z)% %GRPC_STATUS% %REQ(HOST)%"),
                        "- - - - -");
}

static void test_a_quote_in_a_header_passes_in_text_and_is_escaped_in_json(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(render(f, "\"%REQ(X-QUOTE)%\""), "\"a\"b\\c\td\x80\xc3\xa9\"");
    assert_string_equal(render_json(f, "{\"q\": \"%REQ(X-QUOTE)%\"}"),
                        "{\"q\":\"a\\\"b\\\\c\\td\\u0080\xc3\xa9\"}\n");
    assert_string_equal(render_json(f, "{\"q\": \"<%REQ(X-QUOTE)%>\"}"),
                        "{\"q\":\"<a\\\"b\\\\c\\td\\u0080\xc3\xa9>\"}\n");
}

static void test_json_escapes_each_byte_as_buf_add_json_does(void **state)
{
    struct fixture *f = *state;
    const struct format *format;
    struct format_error error;
    format = format_parse_json(f->arena, STR("{\"q\": \"%ROUTE_NAME%\"}"), &error);
    assert_non_null(format);
    char text[24];
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof(text); i++) {
            random = random * 1664525 + 1013904223;
            // Mostly harmless, so that the fast way is taken and left at every place.
            text[i] = (char)(random >> 24 < 240 ? 'a' + (random >> 16) % 26 : random >> 8);
        }
        f->info.route = (struct str){text, 1 + round % sizeof(text)};
        struct buf want = {0};
        buf_add_text(&want, "{\"q\":");
        buf_add_json(&want, f->info.route);
        buf_add_text(&want, "}\n");
        char got[256];
        size_t len = format_render(format, &f->info, got, sizeof(got));
        assert_true(str_equal((struct str){got, len}, buf_str(&want)));
        buf_fini(&want);
    }
}

// ---- arguments ----

static void test_arguments_choose_the_form(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *format, *value;
    } cases[] = {
        {"%PATH(NQ)%", "/api/get"},
        {"%PATH(NQ:PATH)%", "/get"},
        {"%PATH(:PATH):6%", "/get?a"},
        {"%QUERY_PARAM(b)%", "x%20y%0Az"},
        {"%QUERY_PARAM(c)%", "-"},
        {"%QUERY_PARAMS(DECODED)%", "a=1&b=x y%0Az&a=2"},
        {"%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "upstream_reset{connection failure}"},
        {"%GRPC_STATUS(SNAKE_STRING)%", "INVALID_ARGUMENT"},
        {"%GRPC_STATUS(NUMBER)%", "3"},
        {"%REQUESTED_SERVER_NAME(SNI_FIRST)%", "sni.example.com"},
        {"%REQUESTED_SERVER_NAME(HOST_FIRST)%", "orig.example.com"},
        {"%REQUESTED_SERVER_NAME(HOST_FIRST:HOST)%", "httpbin.example.com"},
        {"%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%", "orig.example.com"},
        {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(0)%", "0.0.0.0/0"},
        {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(31)%", "10.0.0.8/31"},
        {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(64)%", "10.0.0.9/32"},
        {"%DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT(128)%", "2001:db8::1/128"},
        {"%COMMON_DURATION(DS_TX_END:DS_RX_BEG:ms)%", "-15"},
        {"%COMMON_DURATION(DS_RX_BEG:US_TX_END:ns)%", "6000500"},
        {"%COMMON_DURATION(US_CX_BEG:US_HS_END:ms)%", "-"},
        {"%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"x-empty\"}, "
         "{\"command\": \"REQ\", \"param\": \":authority\", \"max_length\": 7}]})%",
         "httpbin"},
        {"%COALESCE({\"operators\": [\"REQUESTED_SERVER_NAME\", \"ROUTE_NAME\"]}):3%", "sni"},
        {"%COALESCE({\"operators\": [\"VIRTUAL_CLUSTER_NAME\"]})%", "-"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(render(f, cases[i].format), cases[i].value);
}

static void test_broken_escapes_in_a_query_stay_as_they_are(void **state)
{
    struct fixture *f = *state;
    f->info.path = STR("/?%zz%4%41%e9%7f%");
    assert_string_equal(render(f, "%QUERY_PARAMS(DECODED)%"), "%zz%4A\xe9%7f%");
    f->info.path = STR("/?");
    assert_string_equal(render(f, "%QUERY_PARAMS(DECODED)%"), "-");
}

static void test_server_name_falls_back_to_the_other_source(void **state)
{
    struct fixture *f = *state;
    f->info.requested_server_name = STR_NONE;
    assert_string_equal(
        render(f, "%REQUESTED_SERVER_NAME% %REQUESTED_SERVER_NAME(SNI_FIRST:HOST)%"),
        "- httpbin.example.com");
    f->info.requested_server_name = STR("sni");
    f->request.n = 0;
    memset(f->request.first, 0, sizeof(f->request.first));
    assert_string_equal(render(f, "%REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%"), "sni");
}

static void test_grpc_status_comes_from_headers_when_trailers_lack_it(void **state)
{
    struct fixture *f = *state;
    f->info.n_trailers = 0;
    assert_string_equal(render(f, "%GRPC_STATUS%"), "-");
    add_header(&f->response, "grpc-status", "16");
    assert_string_equal(render(f, "%GRPC_STATUS% %GRPC_STATUS_NUMBER%"), "Unauthenticated 16");
    f->response.items[f->response.n - 1].value = STR("77");
    assert_string_equal(render(f, "%GRPC_STATUS%"), "77");
    assert_string_equal(render_json(f, "{\"s\": \"%GRPC_STATUS(NUMBER)%\"}"), "{\"s\":77}\n");
}

static void test_unique_ids_are_version_4_uuids_and_differ(void **state)
{
    struct fixture *f = *state;
    const char *text = render(f, "%UNIQUE_ID% %UNIQUE_ID%");
    assert_int_equal(strlen(text), 73);
    assert_memory_not_equal(text, text + 37, 36);
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(text[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", text[i]));
    }
    assert_int_equal(text[14], '4');
    assert_non_null(strchr("89ab", text[19]));
    f->info.is_tcp = true;
    assert_int_equal(strlen(render(f, "%STREAM_ID%")), 36);
    const char *twice = render(f, "%STREAM_ID%%STREAM_ID%");
    assert_memory_equal(twice, twice + 36, 36);
}

static void test_hostname_and_environment_are_constants(void **state)
{
    struct fixture *f = *state;
    char name[HOST_NAME_MAX + 1];
    assert_int_equal(gethostname(name, sizeof(name)), 0);
    assert_string_equal(render(f, "%HOSTNAME%"), name);
    assert_string_equal(render(f, "<%ENVIRONMENT(SLUICEGATE_NO_SUCH)%>"), "<->");
    struct str text;
    const struct format *format = parse(f, "%ENVIRONMENT(SLUICEGATE_TEST)% 100%%", 0);
    assert_true(format_is_constant(format, &text));
    assert_true(str_is(text, "value 100%"));
    assert_false(format_is_constant(parse(f, "%ROUTE_NAME%", 0), &text));
    assert_string_equal(render_json(f, "{\"a\": \"%ENVIRONMENT(SLUICEGATE_NO_SUCH)%\","
                                       "\"b\": \"%ENVIRONMENT(SLUICEGATE_TEST)%\"}"),
                        "{\"a\":null,\"b\":\"value\"}\n");
}

// ---- absent and empty values ----

static void test_an_empty_value_is_a_dash_in_text_and_nothing_in_a_header(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(render(f, "[%REQ(X-EMPTY)%][%REQ(X-NO)%]"), "[-][-]");
    const struct format *format =
        parse(f, "[%REQ(X-EMPTY)%][%REQ(X-NO)%][%DOWNSTREAM_TLS_VERSION%][%ROUTE_NAME%]",
              FORMAT_HEADER_VALUE);
    assert_string_equal(render_format(f, format), "[][][][default]");
}

static void test_durations_without_their_points_are_absent(void **state)
{
    struct fixture *f = *state;
    f->info = (struct request_info){.start_wall_ns = 1, .now_wall_ns = 7 * MS + 1};
    assert_string_equal(render(f, "%REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% "
                                  "%RESPONSE_TX_DURATION% %UPSTREAM_CONNECTION_ID% "
                                  "%UPSTREAM_CONNECTION_POOL_READY_DURATION%"),
                        "- - - - - -");
    // A client that left before the first byte: the line is due at the stream's end.
    assert_string_equal(render(f, "%DURATION%"), "7");
    f->info.upstream_tx_begin_ns = 1;
    assert_string_equal(render(f, "%UPSTREAM_CONNECTION_POOL_READY_DURATION%"), "0");
}

// ---- JSON formats ----

static void test_a_json_format_may_nest_and_keeps_its_order_and_constants(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(
        render_json(f, "{\"z\": \"%RESPONSE_CODE%\", \"req\": {\"m\": \"%REQ(:METHOD)%\", \"n\": "
                       "\"%REQ(X-NO)%\"}, \"list\": [\"%ROUTE_NAME%\", 1.5, true, null], "
                       "\"text\": \"took %DURATION% ms, %REQ(X-NO)%, 100%%\", \"e\": \"\"}"),
        "{\"z\":503,\"req\":{\"m\":\"GET\",\"n\":null},\"list\":[\"default\",1.5,true,null],"
        "\"text\":\"took 15 ms, -, 100%\",\"e\":\"\"}\n");
}

static void test_numbers_in_a_json_format_must_be_json_to_stay_numbers(void **state)
{
    assert_string_equal(render_json(*state, "{\"a\": -0.5e3, \"b\": 007, \"c\": 1., \"d\": .5}"),
                        "{\"a\":-0.5e3,\"b\":\"007\",\"c\":\"1.\",\"d\":\".5\"}\n");
}

static void test_json_output_is_json(void **state)
{
    struct fixture *f = *state;
    struct str line =
        str_of(render_json(f, "{\"a\": \"%REQ(X-QUOTE)%\", \"b\\\"\\n\": \"\\u0001%%\"}"));
    struct node *root;
    struct doc_error error;
    assert_true(doc_parse(f->arena, line, 1, &root, &error));
    assert_int_equal(root->map.n_pairs, 2);
    assert_true(str_is(root->map.pairs[1].key, "b\"\n"));
}

// ---- time ----

// A variable, so that compilers do not warn of years with two digits, which are meant.
static size_t (*const strftime_as_libc)(char *, size_t, const char *, const struct tm *) = strftime;

static void test_times_follow_strftime(void **state)
{
    struct fixture *f = *state;
    static const char pattern[] =
        "%Y %y %m %d %e %j %H %I %M %S %p %a %A %b %B %h %u %w %D %F %R %T "
        "%c %x %X %t %%";
    const char *format = arena_printf(f->arena, "%%START_TIME(%s)%%", pattern).ptr;
    static const int64_t seconds[] = {0,          86399,      951782400,  951868800,  1078012800,
                                      1709164800, 1709251199, 1735689599, 1767607200, 4107542400,
                                      -1,         -86401,     -2208988800};
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        char want[512];
        struct tm tm;
        time_t time = seconds[i];
        gmtime_r(&time, &tm);
        assert_true(strftime_as_libc(want, sizeof(want), pattern, &tm) > 0);
        f->info.start_wall_ns = seconds[i] * 1000000000;
        assert_string_equal(render(f, format), want);
        snprintf(want, sizeof(want), "%" PRId64, seconds[i]);
        assert_string_equal(render(f, "%START_TIME(%s)%"), want);
    }
}

static void test_times_show_fractions_and_zones(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(render(f, "%START_TIME(%s.%3f|%f|%1f|%6f|%9f|%z|%Z)%"),
                        "1767607200.123|123456789|1|123456|123456789|+0000|UTC");
    assert_string_equal(render(f, "%START_TIME_LOCAL(%F %T %z)%"), "2026-01-05 13:30:00 +0330");
    assert_string_equal(render(f, "%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%"),
                        "2026/01/05T10:00:00+0000 1767607200");
}

static void test_the_kept_second_changes_with_the_clock(void **state)
{
    struct fixture *f = *state;
    const struct format *format = parse(f, "%START_TIME%", 0);
    f->info.start_wall_ns = INT64_C(1767607200999999999);
    assert_string_equal(render_format(f, format), "2026-01-05T10:00:00.999Z");
    f->info.start_wall_ns++;
    assert_string_equal(render_format(f, format), "2026-01-05T10:00:01.000Z");
    f->info.start_wall_ns -= 1000;
    assert_string_equal(render_format(f, format), "2026-01-05T10:00:00.999Z");
    f->info.start_wall_ns = 0;
    assert_string_equal(render_format(f, format), "1970-01-01T00:00:00.000Z");
}

// ---- limits and errors ----

static void test_a_line_that_does_not_fit_is_cut_and_its_length_told(void **state)
{
    struct fixture *f = *state;
    static const char *const formats[] = {format_istio_default, NULL};
    const struct format *both[2] = {parse(f, formats[0], 0)};
    struct format_error error;
    both[1] = format_parse_json(f->arena, STR_NONE, &error);
    for (int k = 0; k < 2; k++) {
        char whole[4096], part[4096];
        size_t len = format_render(both[k], &f->info, whole, sizeof(whole));
        for (size_t cap = 0; cap <= len + 1; cap++) {
            memset(part, '#', sizeof(part));
            assert_int_equal(format_render(both[k], &f->info, part, cap), len);
            size_t written = cap < len ? cap : len;
            assert_memory_equal(part, whole, written);
            assert_int_equal(part[written], '#');
        }
    }
    assert_int_equal(format_render(both[0], &f->info, NULL, 0),
                     strlen(render(f, format_istio_default)));
}

static void test_percent_signs_are_doubled(void **state)
{
    assert_string_equal(render(*state, "%%REQ(X)%% %%%ROUTE_NAME%%%"), "%REQ(X)% %default%");
}

static void test_values_longer_than_the_scratch_are_cut(void **state)
{
    struct fixture *f = *state;
    char *body = arena_alloc(f->arena, 40000);
    memset(body, 'x', 40000);
    f->info.local_reply_body = (struct str){body, 40000};
    char out[8];
    size_t len = format_render(parse(f, "%LOCAL_REPLY_BODY%", 0), &f->info, out, sizeof(out));
    assert_int_equal(len, SCRATCH_BYTES);
}

struct error_case {
    const char *text;
    size_t offset;
    const char *message;
};

static void test_errors_name_the_place_and_what_is_allowed(void **state)
{
    struct fixture *f = *state;
    static const struct error_case cases[] = {
        {"a %RESPONSE_COD%", 2, "unknown operator RESPONSE_COD; did you mean RESPONSE_CODE?"},
        {"%req(x)%", 0, "unknown operator req; did you mean REQ?"},
        {"%QQQQQQQQQQQQQQQ%", 0, "unknown operator QQQQQQQQQQQQQQQ"},
        {"100% of", 3, "no operator behind %; a percent sign is written %%"},
        {"%", 0, "no operator behind %; a percent sign is written %%"},
        {"%DURATION", 0, "DURATION is not closed with %"},
        {"%DURATION %", 0, "DURATION is not closed with %"},
        {"%REQ(X", 0, "the argument of REQ is not closed with )"},
        {"%REQ(X)", 0, "REQ is not closed with %"},
        {"%REQ(X):%", 0, "the length of REQ is not a number above 0"},
        {"%REQ(X):0%", 0, "the length of REQ is not a number above 0"},
        {"%REQ(X):99999999999%", 0, "the length of REQ is not a number above 0"},
        {"%REQ(X):5x%", 0, "REQ is not closed with %"},
        {"%REQ%", 0, "REQ needs an argument: REQ(X?Y):Z"},
        {"%REQ()%", 0, "REQ needs an argument: REQ(X?Y):Z"},
        {"%REQ(a b)%", 0, "REQ: \"a b\" is not a header name"},
        {"%REQ(a?)%", 0, "REQ: \"\" is not a header name"},
        {"%REQ(:foo)%", 0,
         "REQ: no pseudo header \":foo\"; there are :METHOD, :PATH, :AUTHORITY and :SCHEME"},
        {"%RESP(:path)%", 0, "RESP: no pseudo header \":path\"; there are :STATUS"},
        {"%TRAILER(:path)%", 0, "TRAILER: trailers have no pseudo headers"},
        {"%DURATION(x)%", 0, "DURATION takes no argument"},
        {"%DURATION:5%", 0, "DURATION takes no length"},
        {"%PATH(XX)%", 0, "PATH: \"XX\" is none of WQ, NQ"},
        {"%PATH(WQ:XX)%", 0, "PATH: \"XX\" is none of ORIG_OR_PATH, ORIG, PATH"},
        {"%QUERY_PARAMS(X)%", 0, "QUERY_PARAMS: \"X\" is none of ORIG, DECODED"},
        {"%GRPC_STATUS(X)%", 0, "GRPC_STATUS: \"X\" is none of CAMEL_STRING, SNAKE_STRING, NUMBER"},
        {"%RESPONSE_CODE_DETAILS(X)%", 0,
         "RESPONSE_CODE_DETAILS: \"X\" is none of ALLOW_WHITESPACES"},
        {"%START_TIME(%Y %Q)%", 0, "START_TIME: unknown conversion \"%Q\" in the time format"},
        {"%START_TIME(%3Y)%", 0, "START_TIME: unknown conversion \"%3Y\" in the time format"},
        {"%START_TIME(%)%", 0, "START_TIME: unknown conversion \"%\" in the time format"},
        {"%DOWNSTREAM_PEER_CERT_V_END(%n)%", 0,
         "DOWNSTREAM_PEER_CERT_V_END: unknown conversion \"%n\" in the time format"},
        {"%COMMON_DURATION(A:B)%", 0, "COMMON_DURATION: the argument is not START:END:PRECISION"},
        {"%COMMON_DURATION(A:B:ms)%", 0,
         "COMMON_DURATION: \"A\" is not a point in time; see the reference"},
        {"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", 0,
         "COMMON_DURATION: precision \"s\" is none of ms, us, ns"},
        {"%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(129)%", 0,
         "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: mask \"129\" is not a number from 0 to 128"},
        {"%REQUESTED_SERVER_NAME(X)%", 0,
         "REQUESTED_SERVER_NAME: \"X\" is none of SNI_ONLY, SNI_FIRST, HOST_FIRST"},
        {"%COALESCE({})%", 0, "COALESCE: the argument is not {\"operators\": [...]}"},
        {"%COALESCE({\"operators\": [\"NOPE_NOPE\"]})%", 0, "COALESCE: unknown operator NOPE_NOPE"},
        {"%COALESCE({\"operators\": [{\"param\": \"x\"}]})%", 0,
         "COALESCE: an operator is a name or {\"command\", \"param\", \"max_length\"}"},
        {"%COALESCE({\"operators\": [{\"command\": \"REQ\", \"parm\": \"x\"}]})%", 0,
         "COALESCE: \"parm\" is none of command, param, max_length"},
        {"%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"x\", \"max_length\": "
         "0}]})%",
         0, "COALESCE: max_length is not a number above 0"},
        {"x%METHOD%", 1, "METHOD is not served: The method is a pseudo header: %REQ(:METHOD)%."},
        {"%DYNAMIC_METADATA(a:b):9%", 0,
         "DYNAMIC_METADATA is not served: There is no metadata in this gateway."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct format_error error = {0};
        assert_null(format_parse(f->arena, str_of(cases[i].text), 0, &error));
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(error.offset, cases[i].offset);
    }
}

static void test_errors_in_a_json_format_name_the_place_in_the_whole_text(void **state)
{
    struct fixture *f = *state;
    static const struct error_case cases[] = {
        {"[1]", 0, "the format is not a JSON object"},
        {"{\"a\": \"x %NOPE_NOPE%\"}", 9, "unknown operator NOPE_NOPE"},
        {"{\n \"a\": \"%DURATION%\",\n \"b\": {\"c\": \"%DURATIO%\"}}", 35,
         "unknown operator DURATIO; did you mean DURATION?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct format_error error = {0};
        assert_null(format_parse_json(f->arena, str_of(cases[i].text), &error));
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(error.offset, cases[i].offset);
    }
    struct format_error error = {0};
    assert_null(format_parse_json(f->arena, STR("{\"a\": "), &error));
    assert_non_null(strstr(error.message, "not JSON: "));
}

static void test_the_reference_lists_every_row(void **state)
{
    struct buf out = {0};
    format_print_reference(&out);
    for (size_t i = 0; i < n_operator_rows; i++) {
        char cell[128];
        snprintf(cell, sizeof(cell), "| `%s", operator_rows[i].name);
        assert_non_null(strstr(out.data, cell));
        assert_non_null(strstr(out.data, operator_rows[i].doc));
    }
    buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    setenv("TZ", "TST-3:30", 1);
    setenv("SLUICEGATE_TEST", "value", 1);
    const struct CMUnitTest tests[] = {
        TEST(test_every_operator_renders_its_value_in_text_and_json),
        TEST(test_every_row_is_tested_absent_or_refused),
        TEST(test_the_default_format_writes_istio_s_line),
        TEST(test_the_default_format_writes_a_tcp_connection),
        TEST(test_the_default_json_has_istio_s_24_keys_in_order),
        TEST(test_a_header_is_shown_as_it_stands_after_all_changes),
        TEST(test_host_and_authority_are_one),
        TEST(test_names_of_one_family_are_told_apart),
        TEST(test_the_original_path_is_there_only_after_a_rewrite),
        TEST(test_a_request_without_heads_has_no_headers),
        TEST(test_a_quote_in_a_header_passes_in_text_and_is_escaped_in_json),
        TEST(test_json_escapes_each_byte_as_buf_add_json_does),
        TEST(test_arguments_choose_the_form),
        TEST(test_broken_escapes_in_a_query_stay_as_they_are),
        TEST(test_server_name_falls_back_to_the_other_source),
        TEST(test_grpc_status_comes_from_headers_when_trailers_lack_it),
        TEST(test_unique_ids_are_version_4_uuids_and_differ),
        TEST(test_hostname_and_environment_are_constants),
        TEST(test_an_empty_value_is_a_dash_in_text_and_nothing_in_a_header),
        TEST(test_durations_without_their_points_are_absent),
        TEST(test_a_json_format_may_nest_and_keeps_its_order_and_constants),
        TEST(test_numbers_in_a_json_format_must_be_json_to_stay_numbers),
        TEST(test_json_output_is_json),
        TEST(test_times_follow_strftime),
        TEST(test_times_show_fractions_and_zones),
        TEST(test_the_kept_second_changes_with_the_clock),
        TEST(test_a_line_that_does_not_fit_is_cut_and_its_length_told),
        TEST(test_percent_signs_are_doubled),
        TEST(test_values_longer_than_the_scratch_are_cut),
        TEST(test_errors_name_the_place_and_what_is_allowed),
        TEST(test_errors_in_a_json_format_name_the_place_in_the_whole_text),
        TEST(test_the_reference_lists_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
