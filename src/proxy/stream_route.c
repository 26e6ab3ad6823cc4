// SPDX-License-Identifier: Apache-2.0
// The step `route`: which listener, virtual host and route a request is for, and what that means.
#include "http/uri.h"
#include "proxy/stream.h"
#include "proxy/undeclared.h"
#include "route/rewrite.h"

static bool find_listener(struct stream *stream)
{
    const struct snapshot *snapshot = stream->hold->snapshot;
    stream->listener = worker_listener(stream->worker, stream->down->listener_slot);
    return stream->listener != NULL && snapshot != NULL;
}

// The names that matching works on: host without port in lower case, normalised path.
static bool normalize(struct stream *stream)
{
    struct h1_request *req = &stream->req;
    if (req->target.len > 0 && req->target.ptr[0] == '?') { // "http://host?query"
        char *target = stream_alloc(stream, req->target.len + 1);
        target[0] = '/';
        memcpy(target + 1, req->target.ptr, req->target.len);
        req->target = (struct str){target, req->target.len + 1};
        req->path = str_upto(req->target, 1);
        req->query = str_from(req->target, 2);
    }
    uint16_t port = 0;
    char *room = stream_alloc(stream, req->authority.len + req->path.len + 16);
    stream->authority = req->authority;
    if (req->authority.len > 0 &&
        !uri_split_authority(req->authority, room, &stream->host, &port)) {
        stream_reply(stream, 400, FLAG_BIT(DPE), STR("http1.invalid_url"), STR("malformed Host"));
        return false;
    }
    if (str_is(req->path, "*")) { // OPTIONS * (RFC 9110, 9.3.7)
        stream->path = req->path;
        return true;
    }
    if (!uri_normalize_path(req->path, room + req->authority.len, &stream->path)) {
        stream_reply(stream, 400, FLAG_BIT(DPE), STR("path_normalization_failed"),
                     STR("malformed path"));
        return false;
    }
    return true;
}

static void set_forwarded_path(struct stream *stream)
{
    const struct h1_request *req = &stream->req;
    const struct rewrite *rewrite = stream->route->rewrite;
    if (rewrite && rewrite->authority.len > 0)
        stream->authority = rewrite->authority;
    if (rewrite && rewrite->kind != REWRITE_NONE) {
        // Into the scratch first: a rewrite can grow the path.
        size_t cap = SCRATCH_BYTES / 2;
        size_t len = rewrite_path(stream->route, stream->path, req->query, req->has_query,
                                  stream->worker->scratch, cap);
        if (len > cap || len > proxy_get_options(stream->worker->proxy)->target_bytes_max) {
            stream_reply(stream, 414, 0, STR("rewritten_path_too_long"),
                         STR("rewritten path too long"));
            return;
        }
        stream->original_path = req->target;
        stream->path = stream_copy(stream, (struct str){stream->worker->scratch, len});
        return;
    }
    if (stream->path.ptr == req->path.ptr && stream->path.len == req->path.len) {
        stream->path = req->target; // unchanged, with its query
        return;
    }
    struct str path = stream->path;
    size_t query_len = req->has_query ? 1 + req->query.len : 0;
    char *joined = stream_alloc(stream, path.len + query_len);
    memcpy(joined, path.ptr, path.len);
    if (req->has_query) {
        joined[path.len] = '?';
        memcpy(joined + path.len + 1, req->query.ptr, req->query.len);
    }
    stream->path = (struct str){joined, path.len + query_len};
}

static void reply_redirect(struct stream *stream, const struct request_view *view)
{
    size_t cap = SCRATCH_BYTES / 2;
    size_t len =
        redirect_location(stream->route, view, stream->req.has_query, stream_scheme(stream),
                          stream->listener->port, stream->worker->scratch, cap);
    if (len > cap) {
        stream_reply(stream, 414, 0, STR("redirect_too_long"), STR("redirect too long"));
        return;
    }
    char *line = stream_alloc(stream, len + 12);
    memcpy(line, "location: ", 10);
    memcpy(line + 10, stream->worker->scratch, len);
    memcpy(line + 10 + len, "\r\n", 2);
    stream_reply(stream, stream->route->redirect->code, 0, STR("direct_response"), STR_NONE);
    stream->reply_headers = (struct str){line, len + 12};
}

static enum step_result choose_action(struct stream *stream, const struct request_view *view)
{
    const struct route *route = stream->route;
    stream->body_bytes_max = route->body_bytes_max;
    switch ((enum route_action)route->action) {
    case ROUTE_REDIRECT:
        reply_redirect(stream, view);
        return STEP_NEXT;
    case ROUTE_RESPOND:
        stream->reply_body = route->body; // to gRPC: the message of its status
        stream->cluster = route->log_cluster;
        if (stream->cluster)
            stream_note_undeclared(stream);
        stream_reply(stream, route->status, 0, STR("direct_response"), STR_NONE);
        return STEP_NEXT;
    case ROUTE_FORWARD:
        break;
    }
    stream->target = route_pick_target(route, worker_random(stream->worker));
    if (!stream->target || stream->target->cluster->is_missing) {
        stream->cluster = stream->target ? stream->target->cluster : NULL;
        stream_reply(stream, 503, FLAG_BIT(NC), STR("cluster_not_found"),
                     STR("no such upstream cluster"));
        return STEP_NEXT;
    }
    stream->cluster = stream->target->cluster;
    if (stream->down->captured)
        stream_note_undeclared(stream);
    if (stream->cluster->is_unserved_protocol) {
        if (stream->cluster->lacks_tls)
            stream_reply(stream, 502, FLAG_BIT(UPE), STR("upstream_tls_not_set_up"),
                         STR("TLS to the upstream cannot be set up"));
        else
            stream_reply(stream, 502, FLAG_BIT(UPE), STR("upstream_protocol_not_served"),
                         STR("the upstream's protocol is not served"));
        return STEP_NEXT;
    }
    if (stream->body_bytes_max && (stream->req.content_length > stream->body_bytes_max ||
                                   stream->bytes_received > stream->body_bytes_max)) {
        stream_reply(stream, 413, 0, STR("request_payload_too_large"), STR("Payload Too Large"));
        return STEP_NEXT;
    }
    set_forwarded_path(stream);
    if (stream->step == STEP_reply)
        return STEP_NEXT;
    if (route->timeout_ms && stream->request_received)
        timer_arm(&stream->worker->loop.wheel, &stream->timer,
                  stream->worker->loop.now_ms + route->timeout_ms);
    stream->step = STEP_connect;
    return STEP_NEXT;
}

// A host that another certificate is for: a client that shares its connection between names
// (RFC 9113, 9.1.1) is sent back; one that would pass by the other's client certificates, too.
static bool is_misdirected(struct stream *stream, const struct filter_chain *chain)
{
    const struct vhost *name = host_table_find(stream->listener->sni, stream->host);
    const struct filter_chain *other = name ? name->chain : NULL;
    if (other == chain)
        return false;
    if (other && other->tls && tls_context_asks_client(other->tls))
        return true;
    return chain->is_strict || (stream->down_h2 && stream->down->sni);
}

// By the port that was dialled: Host counts, and not the address.
static const struct http_hosts *find_captured_hosts(struct stream *stream)
{
    const struct captured_port *port = downstream_captured_port(stream->down);
    if (port && port->hosts)
        return port->hosts;
    stream_reply(stream, 404, FLAG_BIT(NR), STR("route_configuration_not_found"),
                 STR("this port is no longer served"));
    stream->keep_down = false;
    return NULL;
}

// The virtual hosts of the listener, or of the chain that the connection's SNI led to. NULL: the
// answer is given.
static const struct http_hosts *find_hosts(struct stream *stream)
{
    if (stream->down->captured)
        return find_captured_hosts(stream);
    if (stream->listener->kind != LISTENER_TLS)
        return &stream->listener->hosts;
    const struct filter_chain *chain = downstream_chain(stream->down);
    if (!chain || !chain->is_http) {
        stream_reply(stream, 404, FLAG_BIT(NR), STR("route_configuration_not_found"),
                     STR("this server is no longer served"));
        stream->keep_down = false;
        return NULL;
    }
    if (is_misdirected(stream, chain)) {
        stream_reply(stream, 421, FLAG_BIT(NR), STR("misdirected_request"),
                     STR("this host is served under another certificate"));
        return NULL;
    }
    return chain->hosts;
}

enum step_result stream_step_route(struct stream *stream)
{
    const struct h1_request *req = &stream->req;
    if (!stream->down_h2 &&
        stream_take_request_bytes(stream, stream->down->rx_end) == PUMP_BAD_REQUEST) {
        WORKER_COUNT(stream->worker, PROTOCOL_ERRORS, 1);
        stream_reply(stream, 400, FLAG_BIT(DPE), str_of(h1_error_detail(stream->req_chunked.error)),
                     str_of(h1_error_sentence(stream->req_chunked.error)));
        return STEP_NEXT;
    }
    if (!find_listener(stream)) {
        stream_reply(stream, 404, FLAG_BIT(NR), STR("route_configuration_not_found"),
                     STR("this listener is no longer served"));
        stream->keep_down = false;
        return STEP_NEXT;
    }
    if (req->method_id == METHOD_CONNECT || req->method_id == METHOD_TRACE) {
        // No forward proxy, and TRACE would echo credentials (RFC 9110, 9.3.8).
        stream_reply(stream, 405, 0, STR("method_not_allowed"), STR("method not allowed"));
        stream->keep_down = stream->keep_down && req->method_id == METHOD_TRACE;
        return STEP_NEXT;
    }
    if (!normalize(stream))
        return STEP_NEXT;
    struct request_view view = {.host = stream->host,
                                .path = stream->path,
                                .query = req->query,
                                .method = req->method,
                                .scheme = stream_scheme(stream),
                                .authority = req->authority,
                                .headers = &req->headers};
    const struct http_hosts *hosts = find_hosts(stream);
    if (!hosts)
        return STEP_NEXT;
    const struct vhost *vhost = host_table_find(hosts->table, stream->host);
    stream->route = vhost ? vhost_find_route(vhost, &view) : NULL;
    if (!stream->route) {
        stream_reply(stream, 404, FLAG_BIT(NR), STR("route_not_found"), STR("no route matches"));
        return STEP_NEXT;
    }
    return choose_action(stream, &view);
}
