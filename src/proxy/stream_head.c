// SPDX-License-Identifier: Apache-2.0
// The heads that are sent: what is not changed is copied in runs of whole lines from the buffer it
// came in; hop-by-hop fields are left out (RFC 9110, 7.6.1), ours are written behind.
#include "proxy/stream.h"
#include "tls/websocket.h"
#include <stdio.h>

struct writer {
    char *at, *end;
};

static bool put(struct writer *w, struct str text)
{
    if (text.len > (size_t)(w->end - w->at))
        return false;
    if (text.len > 0) // an absent string has no address
        memcpy(w->at, text.ptr, text.len);
    w->at += text.len;
    return true;
}
#define PUT(w, literal) put(w, STR(literal))

static bool put_header(struct writer *w, struct str name, struct str value)
{
    if (name.len + value.len + 4 > (size_t)(w->end - w->at))
        return false;
    memcpy(w->at, name.ptr, name.len);
    w->at += name.len;
    *w->at++ = ':';
    *w->at++ = ' ';
    memcpy(w->at, value.ptr, value.len);
    w->at += value.len;
    *w->at++ = '\r';
    *w->at++ = '\n';
    return true;
}

static size_t put_number(char *out, uint64_t value) // decimal; 20 bytes of room
{
    char reversed[20];
    size_t n = 0;
    do
        reversed[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    return n;
}

// ---- copying what stays ----

static bool is_patched(const struct header_patch *patches, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_equal_nocase(patches[i].name, name))
            return true;
    return false;
}

struct copy_rule {
    uint64_t drops;                     // bit by header id
    const struct header_patch *patches; // what they name is written by put_patches
    uint32_t n_patches;
    bool (*is_ours)(struct str name); // further names that we write ourselves; NULL: none
    bool drops_lookalikes;
};

// Of the x-envoy- family in a response: what we write, and what only proxies tell each other.
static bool is_own_response_header(struct str name)
{
    return str_equal_nocase(name, STR("x-envoy-upstream-service-time")) ||
           str_equal_nocase(name, STR("x-envoy-decorator-operation"));
}

static bool is_ingress_header(struct str name)
{
    static const char *const names[] = {"x-real-ip",
                                        "x-forwarded-host",
                                        "x-forwarded-port",
                                        "x-forwarded-scheme",
                                        "x-scheme",
                                        "x-original-forwarded-for",
                                        "ssl-client-verify",
                                        "ssl-client-subject-dn",
                                        "ssl-client-issuer-dn",
                                        "ssl-client-cert",
                                        "proxy"};
    char first = ascii_lower(name.ptr[0]);
    if (first != 'x' && first != 'p' && first != 's')
        return false;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (str_equal_nocase(name, str_of(names[i])))
            return true;
    return false;
}

// By HTTP/2 a WebSocket has neither key nor answer to it (RFC 8441, 5).
static bool is_websocket_key(struct str name)
{
    return str_equal_nocase(name, STR("sec-websocket-key"));
}

static bool is_ingress_or_websocket_key(struct str name)
{
    return is_ingress_header(name) || is_websocket_key(name);
}

static bool is_websocket_accept(struct str name)
{
    return str_equal_nocase(name, STR("sec-websocket-accept")) || is_own_response_header(name);
}

// CGI and its heirs (PHP, WSGI, Rack) know no difference between `ssl_client_verify` and
// `ssl-client-verify`: who may not send the one may not send the other.
static bool is_lookalike(struct str name, const struct copy_rule *rule)
{
    char dashed[32]; // longer than every name in question
    if (!memchr(name.ptr, '_', name.len) || name.len > sizeof dashed)
        return false;
    for (size_t i = 0; i < name.len; i++)
        dashed[i] = name.ptr[i] == '_' ? '-' : name.ptr[i];
    struct str meant = {dashed, name.len};
    return (rule->drops >> header_id_of(meant) & 1) || (rule->is_ours && rule->is_ours(meant));
}

static bool is_dropped(const struct header *header, const struct copy_rule *rule)
{
    return (rule->drops_lookalikes && is_lookalike(header->name, rule)) || header->is_hop_by_hop ||
           (rule->drops >> header->id & 1) || (rule->is_ours && rule->is_ours(header->name)) ||
           (rule->n_patches > 0 && is_patched(rule->patches, rule->n_patches, header->name));
}

// Copies the fields that `rule` leaves. Lines lie one behind the other in the buffer, so a run of
// kept ones is one copy; it ends where the next dropped line begins.
static bool copy_headers(struct writer *w, const struct header_list *list,
                         const struct copy_rule *rule)
{
    const char *run = NULL;
    for (unsigned i = 0; i < list->n; i++) {
        const struct header *header = &list->items[i];
        if (!is_dropped(header, rule)) {
            if (!run)
                run = header->name.ptr;
            continue;
        }
        if (run && !put(w, (struct str){run, (size_t)(header->name.ptr - run)}))
            return false;
        run = NULL;
    }
    if (!run)
        return true;
    const struct header *last = &list->items[list->n - 1];
    const char *end =
        last->value.len ? last->value.ptr + last->value.len : last->name.ptr + last->name.len + 1;
    return put(w, (struct str){run, (size_t)(end - run)}) && PUT(w, "\r\n");
}

static bool put_patches(struct writer *w, const struct header_patch *patches, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!patches[i].is_removed && !put_header(w, patches[i].name, patches[i].value))
            return false;
    return true;
}

// ---- patches: what routes do to headers ----

struct patcher {
    struct stream *stream;
    struct header_patch *patches;
    uint32_t n;
    const struct header_list *list;
};

static struct header_patch *find_patch(struct patcher *p, struct str name)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (str_equal(p->patches[i].name, name))
            return &p->patches[i];
    return NULL;
}

static struct str render(struct stream *stream, const struct format *format)
{
    struct str constant;
    if (format_is_constant(format, &constant))
        return constant;
    struct request_info info;
    stream_fill_info(stream, &info);
    char text[4096];
    size_t len = format_render(format, &info, text, sizeof text);
    return stream_copy(stream, (struct str){text, len < sizeof text ? len : sizeof text});
}

static void add_patch(struct patcher *p, struct str name, struct str value, bool is_removed)
{
    if (p->n < PATCHES_MAX)
        p->patches[p->n++] =
            (struct header_patch){.name = name, .value = value, .is_removed = is_removed};
}

// An appended value stands beside what is there: patched fields are not copied, so all values that
// the list holds come along.
static void append_value(struct patcher *p, struct str name, struct str value)
{
    if (!find_patch(p, name))
        for (unsigned i = 0; i < p->list->n; i++)
            if (str_equal_nocase(p->list->items[i].name, name))
                add_patch(p, name, p->list->items[i].value, false);
    add_patch(p, name, value, false);
}

static void set_value(struct patcher *p, struct str name, struct str value, bool is_removed)
{
    bool done = false;
    for (uint32_t i = 0; i < p->n; i++)
        if (str_equal(p->patches[i].name, name)) {
            p->patches[i].value = value;
            p->patches[i].is_removed = is_removed || done;
            done = true;
        }
    if (!done)
        add_patch(p, name, value, is_removed);
}

// Request: `host` and `:authority` name the authority, other pseudo headers do not exist here.
static bool patch_authority(struct patcher *p, const struct header_op *op, struct str value)
{
    struct stream *stream = p->stream;
    if (p->list != &stream->req.headers)
        return false;
    if (!str_is(op->name, "host") && !str_is(op->name, ":authority"))
        return op->name.len > 0 && op->name.ptr[0] == ':';
    bool rewritten = stream->route->rewrite && stream->route->rewrite->authority.len > 0;
    if (op->kind != HEADER_REMOVE && !rewritten && value.len > 0)
        stream->authority = value;
    return true;
}

static void apply_ops(struct patcher *p, const struct header_ops *ops)
{
    for (uint32_t i = 0; i < ops->n; i++) {
        const struct header_op *op = &ops->ops[i];
        struct str value = op->kind == HEADER_REMOVE ? STR_NONE : render(p->stream, op->value);
        if (patch_authority(p, op, value))
            continue;
        if (op->kind == HEADER_ADD)
            append_value(p, op->name, value);
        else
            set_value(p, op->name, value, op->kind == HEADER_REMOVE);
    }
}

static struct patcher patcher_for(struct stream *stream, const struct header_list *list)
{
    return (struct patcher){.stream = stream,
                            .patches =
                                stream_alloc(stream, PATCHES_MAX * sizeof(struct header_patch)),
                            .list = list};
}

// ---- the request ----

static const char hex_digits[] = "0123456789abcdef";

static void write_hex(char *out, uint64_t value, int n)
{
    for (int i = n - 1; i >= 0; i--, value >>= 4)
        out[i] = hex_digits[value & 15];
}

static struct str make_request_id(struct stream *stream)
{
    uint64_t a = worker_random(stream->worker), b = worker_random(stream->worker);
    char *id = stream_alloc(stream, 36);
    write_hex(id, a >> 32, 8);
    id[8] = '-';
    write_hex(id + 9, a >> 16, 4);
    id[13] = '-';
    write_hex(id + 14, (a & 0x0fff) | 0x4000, 4); // version 4 (RFC 9562, 5.4)
    id[18] = '-';
    write_hex(id + 19, (b >> 48 & 0x3fff) | 0x8000, 4);
    id[23] = '-';
    write_hex(id + 24, b, 12);
    return (struct str){id, 36};
}

// x-forwarded-for as it goes upstream: what came, with the peer's address behind it.
static struct str make_forwarded_for(struct stream *stream)
{
    char peer[ADDRESS_TEXT_MAX];
    size_t peer_len = address_format_ip(&stream->down->remote, peer);
    const struct header_list *list = &stream->req.headers;
    size_t len = peer_len;
    if (list->first[HEADER_X_FORWARDED_FOR] && !(stream->route && stream->route->is_ingress))
        for (unsigned i = 0; i < list->n; i++)
            if (list->items[i].id == HEADER_X_FORWARDED_FOR)
                len += list->items[i].value.len + 2;
    char *out = stream_alloc(stream, len), *at = out;
    if (len > peer_len)
        for (unsigned i = 0; i < list->n; i++)
            if (list->items[i].id == HEADER_X_FORWARDED_FOR && list->items[i].value.len > 0) {
                memcpy(at, list->items[i].value.ptr, list->items[i].value.len);
                at += list->items[i].value.len;
                memcpy(at, ", ", 2);
                at += 2;
            }
    memcpy(at, peer, peer_len);
    return (struct str){out, (size_t)(at - out) + peer_len};
}

void stream_identify(struct stream *stream)
{
    if (stream->request_id.len > 0) // a retry
        return;
    const struct header *came = header_get(&stream->req.headers, HEADER_X_REQUEST_ID);
    bool is_trusted = (stream->route && stream->route->is_ingress) || stream->down->captured;
    bool keeps = is_trusted && came && came->value.len > 0;
    stream->request_id = keeps ? came->value : make_request_id(stream);
    if (!stream->down->captured) // a sidecar is no hop
        stream->xff = make_forwarded_for(stream);
}

void stream_prepare_request(struct stream *stream)
{
    stream_identify(stream);
    const struct header_ops *by_route = &stream->route->request_ops;
    const struct header_ops *by_target = &stream->target->request_ops;
    if ((by_route->n | by_target->n) == 0 || stream->request_patches)
        return;
    struct patcher p = patcher_for(stream, &stream->req.headers);
    stream->request_patches = p.patches;
    apply_ops(&p, by_route);
    apply_ops(&p, by_target);
    stream->n_request_patches = p.n;
}

struct str stream_scheme(const struct stream *stream)
{
    return stream->down->sock.tls ? STR("https") : STR("http");
}

static bool put_request_line(struct writer *w, struct stream *stream)
{
    return put(w, stream->req.method) && PUT(w, " ") && put(w, stream->path) &&
           PUT(w, " HTTP/1.1\r\nhost: ") && put(w, stream->authority) && PUT(w, "\r\n");
}

static bool is_set_by_route(const struct stream *stream, struct str name)
{
    return stream->n_request_patches > 0 &&
           is_patched(stream->request_patches, stream->n_request_patches, name);
}

// What backends behind ingress-nginx are used to.
static bool put_ingress_headers(struct writer *w, struct stream *stream)
{
    const struct header *came = header_get(&stream->req.headers, HEADER_X_FORWARDED_FOR);
    char port[24];
    return put_header(w, STR("x-real-ip"), stream->xff) &&
           put_header(w, STR("x-forwarded-host"), stream->req.authority) &&
           put_header(w, STR("x-forwarded-port"),
                      (struct str){port, put_number(port, stream->listener->port)}) &&
           put_header(w, STR("x-forwarded-scheme"), stream_scheme(stream)) &&
           put_header(w, STR("x-scheme"), stream_scheme(stream)) &&
           (!came || put_header(w, STR("x-original-forwarded-for"), came->value));
}

static bool put_client_cert(struct writer *w, struct stream *stream)
{
    struct header_field fields[CLIENT_CERT_FIELDS_MAX];
    unsigned n = stream->down->sock.tls ? stream_client_cert_fields(stream, fields) : 0;
    bool ok = true;
    for (unsigned i = 0; i < n; i++)
        if (!is_set_by_route(stream, fields[i].name))
            ok = ok && put_header(w, fields[i].name, fields[i].value);
    return ok;
}

static bool put_attempt_count(struct writer *w, const struct stream *stream)
{
    char count[24];
    return put_header(w, STR("x-envoy-attempt-count"),
                      (struct str){count, put_number(count, stream->n_attempts)});
}

// "httpbin.default.svc.cluster.local:8000/*" of the cluster "outbound|8000||httpbin...".
static bool put_operation(struct writer *w, struct stream *stream)
{
    struct str rest = stream->cluster->name, direction, port, subset;
    if (!str_next(&rest, '|', &direction) || !str_is(direction, "outbound") ||
        !str_next(&rest, '|', &port) || !str_next(&rest, '|', &subset))
        return true; // PassthroughCluster
    char *text = stream_alloc(stream, rest.len + port.len + 3), *at = text;
    at = mempcpy(at, rest.ptr, rest.len);
    *at++ = ':';
    at = mempcpy(at, port.ptr, port.len);
    *at++ = '/';
    *at++ = '*';
    return put_header(w, STR("x-envoy-decorator-operation"),
                      (struct str){text, (size_t)(at - text)});
}

static bool put_attempt_count_that_came(struct writer *w, const struct stream *stream)
{
    const struct header_list *list = &stream->req.headers;
    for (unsigned i = 0; list->first[HEADER_X_ENVOY] && i < list->n; i++)
        if (str_equal_nocase(list->items[i].name, STR("x-envoy-attempt-count")))
            return put_header(w, STR("x-envoy-attempt-count"), list->items[i].value);
    return true;
}

// Between an application and its own sidecar nobody need be distrusted: what one says of the
// request's origin and id the other passes on, and adds where nothing is said.
static bool put_sidecar_headers(struct writer *w, struct stream *stream)
{
    const struct header_list *list = &stream->req.headers;
    bool ok = true;
    if (!list->first[HEADER_X_FORWARDED_PROTO] &&
        !is_set_by_route(stream, STR("x-forwarded-proto")))
        ok = ok && put_header(w, STR("x-forwarded-proto"), stream_scheme(stream));
    if (!list->first[HEADER_X_REQUEST_ID] && !is_set_by_route(stream, STR("x-request-id")))
        ok = ok && put_header(w, STR("x-request-id"), stream->request_id);
    if (stream->original_path.len > 0)
        ok = ok && put_header(w, STR("x-envoy-original-path"), stream->original_path);
    if (stream->down->captured == CAPTURED_OUT)
        return ok && put_attempt_count(w, stream) && put_operation(w, stream);
    return ok && put_attempt_count_that_came(w, stream);
}

// The fields that the gateway itself sets, unless a route set or removed them.
static bool put_own_headers(struct writer *w, struct stream *stream)
{
    const struct address *remote = &stream->down->remote;
    bool ok = true;
    if (stream->down->captured)
        return put_sidecar_headers(w, stream);
    if (!is_set_by_route(stream, STR("x-forwarded-for")))
        ok = ok && put_header(w, STR("x-forwarded-for"), stream->xff);
    if (!is_set_by_route(stream, STR("x-forwarded-proto")))
        ok = ok && (stream->down->sock.tls ? PUT(w, "x-forwarded-proto: https\r\n")
                                           : PUT(w, "x-forwarded-proto: http\r\n"));
    if (!is_set_by_route(stream, STR("x-request-id")))
        ok = ok && put_header(w, STR("x-request-id"), stream->request_id);
    if (address_is_internal(remote)) {
        ok = ok && PUT(w, "x-envoy-internal: true\r\n");
    } else {
        char text[ADDRESS_TEXT_MAX];
        size_t len = address_format_ip(remote, text);
        ok = ok && put_header(w, STR("x-envoy-external-address"), (struct str){text, len});
    }
    ok = ok && put_attempt_count(w, stream);
    if (stream->original_path.len > 0)
        ok = ok && put_header(w, STR("x-envoy-original-path"), stream->original_path);
    ok = ok && put_client_cert(w, stream);
    return ok && (!stream->route->is_ingress || put_ingress_headers(w, stream));
}

// Of a WebSocket that is HTTP/2 on the client's side, the key is ours.
static bool put_websocket_key(struct writer *w, struct stream *stream, const struct header *upgrade)
{
    if (!stream->down_h2 || !str_equal_nocase(upgrade->value, STR("websocket")))
        return true;
    uint64_t random[2] = {worker_random(stream->worker), worker_random(stream->worker)};
    char key[WEBSOCKET_KEY_BYTES + 1];
    websocket_key((const unsigned char *)random, key);
    stream->h2.websocket_key = stream_copy(stream, (struct str){key, WEBSOCKET_KEY_BYTES});
    return put_header(w, STR("sec-websocket-key"), stream->h2.websocket_key);
}

static bool put_request_framing(struct writer *w, struct stream *stream)
{
    const struct header *upgrade = header_get(&stream->req.headers, HEADER_UPGRADE);
    bool ok = true;
    if (stream->up_h2)
        return !stream->req.te_trailers || PUT(w, "te: trailers\r\n");
    if (stream->req.body == BODY_CHUNKED)
        ok = PUT(w, "transfer-encoding: chunked\r\n");
    if (stream->is_upgrade && upgrade)
        return ok && PUT(w, "connection: upgrade\r\n") &&
               put_header(w, STR("upgrade"), upgrade->value) &&
               put_websocket_key(w, stream, upgrade);
    if (stream->req.te_trailers) // TE is hop by hop itself: named by Connection (RFC 9110, 10.1.4)
        ok = ok && PUT(w, "connection: te\r\nte: trailers\r\n");
    return ok;
}

#define ID_BIT(id) (UINT64_C(1) << HEADER_##id)

static bool (*own_request_headers(const struct stream *stream))(struct str name)
{
    bool has_key = stream->is_upgrade && stream->up_h2;
    if (stream->route->is_ingress)
        return has_key ? is_ingress_or_websocket_key : is_ingress_header;
    return has_key ? is_websocket_key : NULL;
}

size_t stream_build_request_head(struct stream *stream, char *out, size_t cap)
{
    // What clients may not say to the inside, and what is written anew (spec: Envoy's edge rules).
    static const uint64_t drops =
        ID_BIT(HOST) | ID_BIT(X_ENVOY) | ID_BIT(X_FORWARDED_CLIENT_CERT) | ID_BIT(HTTP2_SETTINGS);
    static const uint64_t of_edge =
        ID_BIT(X_FORWARDED_FOR) | ID_BIT(X_FORWARDED_PROTO) | ID_BIT(X_REQUEST_ID);
    struct writer w = {out, out + cap};
    const uint64_t more = (stream->grpc_web ? ID_BIT(CONTENT_TYPE) | ID_BIT(CONTENT_LENGTH) : 0) |
                          (stream->down->captured ? 0 : of_edge);
    const struct copy_rule rule = {drops | more, stream->request_patches, stream->n_request_patches,
                                   own_request_headers(stream), true};
    stream->n_attempts++;
    bool ok =
        put_request_line(&w, stream) && copy_headers(&w, &stream->req.headers, &rule) &&
        (!stream->grpc_web || put_header(&w, STR("content-type"), grpc_web_request_type(stream))) &&
        put_own_headers(&w, stream) &&
        put_patches(&w, stream->request_patches, stream->n_request_patches) &&
        put_request_framing(&w, stream) && PUT(&w, "\r\n");
    return ok ? (size_t)(w.at - out) : 0;
}

// ---- the response ----

static void patch_response(struct stream *stream)
{
    const struct header_ops *by_route = &stream->route->response_ops;
    const struct header_ops *by_target = stream->target ? &stream->target->response_ops : NULL;
    if (by_route->n == 0 && (!by_target || by_target->n == 0))
        return;
    struct patcher p = patcher_for(stream, &stream->res.headers);
    stream->response_patches = p.patches;
    apply_ops(&p, by_route);
    if (by_target)
        apply_ops(&p, by_target);
    stream->n_response_patches = p.n;
}

// Redirects and direct responses carry what their route adds; our own errors do not.
void stream_prepare_reply(struct stream *stream)
{
    if (stream->route && stream->route->action != ROUTE_FORWARD)
        patch_response(stream);
}

void stream_prepare_response(struct stream *stream)
{
    int64_t ns = stream->worker->loop.now_ns -
                 (stream->up_tx_end_ns ? stream->up_tx_end_ns : stream->up_tx_begin_ns);
    stream->service_time_len =
        (uint8_t)put_number(stream->service_time, ns > 0 ? (uint64_t)ns / 1000000 : 0);
    patch_response(stream);
}

static bool put_status_line(struct writer *w, const struct stream *stream, unsigned status,
                            struct str reason)
{
    if (stream->down_h2)
        return true; // it is a field there

    char line[16] = "HTTP/1.1 000 ";
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    return put(w, (struct str){line, 13}) && put(w, reason) && PUT(w, "\r\n");
}

bool stream_keeps_downstream(struct stream *stream)
{
    if (stream->down->close_after || stream->worker->is_draining)
        stream->keep_down = false;
    return stream->keep_down;
}

static bool put_connection(struct writer *w, struct stream *stream)
{
    if (stream->down_h2)
        return true;
    if (!stream_keeps_downstream(stream))
        return PUT(w, "connection: close\r\n");
    return stream->is_http10 ? PUT(w, "connection: keep-alive\r\n") : true;
}

static bool put_response_framing(struct writer *w, struct stream *stream)
{
    const struct h1_response *res = &stream->res;
    if (stream->down_h2)
        return true;
    if (res->status == 101) {
        const struct header *upgrade = stream->up_h2
                                           ? header_get(&stream->req.headers, HEADER_UPGRADE)
                                           : header_get(&res->headers, HEADER_UPGRADE);
        return PUT(w, "connection: upgrade\r\n") &&
               (!upgrade || put_header(w, STR("upgrade"), upgrade->value)) &&
               (!stream->up_h2 || !stream->h2.websocket_accept[0] ||
                put_header(w, STR("sec-websocket-accept"), str_of(stream->h2.websocket_accept)));
    }
    // By HTTP/2 the end of a stream tells that there is no body.
    if (stream->up_h2 && res->body == BODY_NONE && !res->has_content_length && res->status != 204 &&
        res->status != 304 && stream->req.method_id != METHOD_HEAD &&
        !PUT(w, "content-length: 0\r\n"))
        return false;
    bool is_chunked = (res->body == BODY_CHUNKED && !stream->decode_chunked &&
                       !(stream->up_h2 && stream->is_http10)) ||
                      stream->encode_chunked;
    if (is_chunked && !PUT(w, "transfer-encoding: chunked\r\n"))
        return false;
    return put_connection(w, stream);
}

static bool has_response_patch(const struct stream *stream, struct str name)
{
    return stream->n_response_patches > 0 &&
           is_patched(stream->response_patches, stream->n_response_patches, name);
}

// As in Istio, unless an option says otherwise: what its application hears is named differently.
static inline struct str server_header(const struct stream *stream)
{
    struct str header = proxy_get_options(stream->worker->proxy)->server_header;
    bool is_heard_by_client = stream->down->captured == CAPTURED_OUT;
    return is_heard_by_client && str_is(header, "istio-envoy") ? STR("envoy") : header;
}

struct str stream_server_header(const struct stream *stream)
{
    return server_header(stream);
}

size_t stream_build_response_head(struct stream *stream, char *out, size_t cap)
{
    struct writer w = {out, out + cap};
    const uint64_t more = stream->grpc_web ? ID_BIT(CONTENT_TYPE) | ID_BIT(CONTENT_LENGTH) : 0;
    const struct copy_rule rule = {
        ID_BIT(SERVER) | more, stream->response_patches, stream->n_response_patches,
        stream->is_tunnel && stream->down_h2        ? is_websocket_accept
        : stream->res.headers.first[HEADER_X_ENVOY] ? is_own_response_header
                                                    : NULL,
        false};
    struct str reason =
        stream->up_h2 ? str_of(http_reason(stream->res.status)) : stream->res.reason;
    bool ok = put_status_line(&w, stream, stream->res.status, reason) &&
              copy_headers(&w, &stream->res.headers, &rule);
    if (stream->grpc_web && stream->res.headers.first[HEADER_CONTENT_TYPE])
        ok = ok && put_header(&w, STR("content-type"), grpc_web_response_type(stream));
    if (!stream->res.headers.first[HEADER_DATE] && !has_response_patch(stream, STR("date")))
        ok = ok && put_header(&w, STR("date"), worker_date(stream->worker));
    if (!has_response_patch(stream, STR("server")))
        ok = ok && put_header(&w, STR("server"), server_header(stream));
    ok = ok && put_header(&w, STR("x-envoy-upstream-service-time"),
                          (struct str){stream->service_time, stream->service_time_len});
    ok = ok && put_patches(&w, stream->response_patches, stream->n_response_patches) &&
         put_response_framing(&w, stream) && PUT(&w, "\r\n");
    return ok ? (size_t)(w.at - out) : 0;
}

size_t stream_build_interim_head(struct stream *stream, char *out, size_t cap)
{
    struct writer w = {out, out + cap};
    const struct copy_rule rule = {.drops = ID_BIT(CONTENT_LENGTH)};
    struct str reason =
        stream->up_h2 ? str_of(http_reason(stream->res.status)) : stream->res.reason;
    bool ok = put_status_line(&w, stream, stream->res.status, reason) &&
              copy_headers(&w, &stream->res.headers, &rule) && PUT(&w, "\r\n");
    return ok ? (size_t)(w.at - out) : 0;
}

size_t stream_build_reply_head(struct stream *stream, size_t body_len, char *out, size_t cap)
{
    struct writer w = {out, out + cap};
    char length[24];
    bool ok = put_status_line(&w, stream, stream->status, str_of(http_reason(stream->status)));
    ok = ok && put(&w, stream->reply_headers);
    if (body_len > 0 && !has_response_patch(stream, STR("content-type")))
        ok = ok && PUT(&w, "content-type: text/plain\r\n");
    if (stream->status >= 200 && stream->status != 204 && stream->status != 304)
        ok = ok && put_header(&w, STR("content-length"),
                              (struct str){length, put_number(length, body_len)});
    ok = ok && put_header(&w, STR("date"), worker_date(stream->worker)) &&
         put_header(&w, STR("server"), server_header(stream)) &&
         put_patches(&w, stream->response_patches, stream->n_response_patches) &&
         put_connection(&w, stream) && PUT(&w, "\r\n");
    return ok ? (size_t)(w.at - out) : 0;
}
