// SPDX-License-Identifier: Apache-2.0
// What a stream tells about itself: the access-log line, and the values of header formats.
#include "proxy/stream.h"

enum { OWN_PATCHES = 8 };

static struct str protocol_of(const struct stream *stream)
{
    if (stream->is_tcp || stream->req.method.len == 0)
        return STR_NONE;
    if (stream->down_h2)
        return STR("HTTP/2");
    return stream->is_http10 ? STR("HTTP/1.0") : STR("HTTP/1.1");
}

static void fill_times(const struct stream *stream, struct request_info *info)
{
    info->start_wall_ns = stream->begin_wall_ns;
    info->downstream_rx_begin_ns = stream->begin_ns;
    info->downstream_rx_end_ns = stream->request_end_ns;
    info->upstream_connect_begin_ns = stream->connect_begin_ns;
    info->upstream_connect_end_ns = stream->connect_end_ns;
    info->upstream_tx_begin_ns = stream->up_tx_begin_ns;
    info->upstream_tx_end_ns = stream->up_tx_end_ns;
    info->upstream_rx_begin_ns = stream->up_rx_begin_ns;
    info->upstream_rx_body_begin_ns = stream->up_rx_body_ns;
    info->upstream_rx_end_ns = stream->up_rx_end_ns;
    info->downstream_tx_begin_ns = stream->down_tx_begin_ns;
    info->downstream_tx_end_ns = stream->down_tx_end_ns;
    info->connection_begin_ns = stream->down->accepted_ns;
    info->connection_end_ns = stream->down_tx_end_ns;
    info->upstream_pool_ready_ns = stream->pool_wait_ns;
    info->now_wall_ns = stream->worker->loop.wall_ns;
}

static void fill_addresses(const struct stream *stream, struct request_info *info)
{
    const struct downstream *down = stream->down;
    info->downstream_remote = &down->remote;
    info->downstream_local = &down->local;
    info->downstream_direct_remote = &down->peer;
    info->downstream_direct_local = &down->own;
    if (stream->has_upstream_address) {
        info->upstream_local = &stream->upstream_local;
        info->upstream_remote = &stream->upstream_remote;
    }
    info->upstream_host = stream->upstream_host;
    info->hosts_attempted = stream->tried;
    info->n_hosts_attempted = stream->n_tries < TRIES_MAX ? stream->n_tries : TRIES_MAX;
    info->attempts = stream->is_tcp ? stream->n_tries : stream->n_attempts;
    info->connection_id = down->id;
    info->upstream_connection_id = stream->upstream_id;
    info->upstream_connection_ids = stream->upstream_ids;
    info->n_upstream_connection_ids =
        stream->n_upstream_ids < TRIES_MAX ? stream->n_upstream_ids : TRIES_MAX;
}

static void fill_names(const struct stream *stream, struct request_info *info)
{
    info->cluster = stream->cluster ? stream->cluster->name : stream->names.cluster;
    info->route = stream->route ? stream->route->name : stream->names.route;
    info->listener_name = stream->listener ? stream->listener->name : stream->names.listener;
    info->request_id = stream->request_id;
}

static void fill_bytes(const struct stream *stream, struct request_info *info)
{
    info->bytes_received = stream->bytes_received;
    info->bytes_sent = stream->bytes_sent;
    info->request_head_bytes = stream->head_len;
    info->response_head_bytes = stream->down_head_sent;
    info->response_trailer_bytes = stream->trailer_bytes;
    info->downstream_wire_received = stream->down_wire_received;
    info->downstream_wire_sent = stream->down_wire_sent;
    info->upstream_wire_received = stream->up_wire_received;
    info->upstream_wire_sent = stream->up_wire_sent;
    info->upstream_head_sent = stream->up_head_sent;
    info->upstream_head_received = stream->up_head_received;
}

// A client's connection that goes on has no close to tell of.
static void fill_downstream_close(const struct stream *stream, struct request_info *info)
{
    const struct sock *sock = &stream->down->sock;
    if (sock->failed || stream->down_lost) {
        info->downstream_close_type = STR("RemoteReset");
    } else if (sock->peer_closed) {
        info->downstream_close_type = STR("Normal");
    } else if (stream->cut) {
        info->downstream_close_type = STR("LocalReset");
        info->downstream_close_reason = stream->details;
    } else if (!stream->keep_down && !stream->is_tcp) {
        info->downstream_close_reason = STR("connection_close");
    }
}

void stream_fill_info(struct stream *stream, struct request_info *info)
{
    memset(info, 0, sizeof *info);
    info->is_tcp = stream->is_tcp;
    info->is_websocket = stream->is_upgrade && stream->is_tunnel;
    fill_times(stream, info);
    fill_addresses(stream, info);
    fill_names(stream, info);
    fill_bytes(stream, info);
    info->method = stream->req.method;
    info->scheme = stream_scheme(stream);
    info->path = stream->path.len ? stream->path : stream->req.target;
    info->original_path = stream->original_path;
    info->authority = stream->authority;
    info->request = &stream->req.headers;
    info->response = &stream->res.headers;
    info->request_patches = stream->request_patches;
    info->n_request_patches = stream->n_request_patches;
    info->response_patches = stream->response_patches;
    info->n_response_patches = stream->n_response_patches;
    info->trailers = stream->trailers;
    info->n_trailers = stream->n_trailers;
    info->protocol = protocol_of(stream);
    if (stream->has_upstream_address && !stream->is_tcp)
        info->upstream_protocol = stream->up_h2 ? STR("HTTP/2") : STR("HTTP/1.1");
    info->status = stream->status;
    info->flags = stream->flags;
    info->details = stream->details;
    info->retry_reason = stream->retry_reason;
    info->upstream_transport_failure = stream->failure;
    info->downstream_transport_failure = stream->down_failure;
    info->requested_server_name = str_of(stream->down->sni);
    if (!stream->down->greeting) // of a handshake that failed no version is known
        info->downstream_tls = sock_tls_conn(&stream->down->sock);
    info->upstream_tls = stream->up ? sock_tls_conn(&stream->up->sock) : NULL;
    info->termination_details = stream->termination;
    info->upstream_close_type = stream->up_close_type;
    info->upstream_close_reason = stream->up_close_reason;
    fill_downstream_close(stream, info);
    if (stream->reply_status)
        info->local_reply_body = stream->reply_body;
    info->random = worker_random(stream->worker);
    info->random2 = worker_random(stream->worker);
}

static void add_patches(struct header_patch *patches, unsigned *n, const struct header_patch *more,
                        unsigned n_more)
{
    for (unsigned i = 0; i < n_more && *n < OWN_PATCHES + PATCHES_MAX; i++)
        patches[(*n)++] = more[i];
}

// A value of ours, unless a route has set or removed that field (its patches come first).
static void add_own(struct header_patch *patches, unsigned *n, const char *name, struct str value)
{
    for (unsigned i = 0; i < *n; i++)
        if (str_is(patches[i].name, name))
            return;
    patches[(*n)++] = (struct header_patch){str_of(name), value, false};
}

static void add_own_patches(const struct stream *stream, struct request_info *info,
                            struct header_patch *request, struct header_patch *response)
{
    unsigned n = 0;
    add_patches(request, &n, stream->request_patches, stream->n_request_patches);
    if (stream->down->captured) {
        if (!stream->req.headers.first[HEADER_X_FORWARDED_PROTO])
            add_own(request, &n, "x-forwarded-proto", stream_scheme(stream));
        add_own(request, &n, "x-request-id", stream->request_id);
    } else if (stream->xff.len > 0) {
        add_own(request, &n, "x-forwarded-for", stream->xff);
        add_own(request, &n, "x-request-id", stream->request_id);
        add_own(request, &n, "x-forwarded-proto", stream_scheme(stream));
    }
    info->request_patches = request;
    info->n_request_patches = n;
    n = 0;
    add_patches(response, &n, stream->response_patches, stream->n_response_patches);
    if (stream->service_time_len > 0)
        add_own(response, &n, "x-envoy-upstream-service-time",
                (struct str){stream->service_time, stream->service_time_len});
    if (stream->status)
        add_own(response, &n, "server", stream_server_header(stream));
    info->response_patches = response;
    info->n_response_patches = n;
}

void stream_log(struct stream *stream)
{
    struct worker *worker = stream->worker;
    if (!worker->log)
        return;
    char *line = access_log_reserve(worker->log);
    if (!line) {
        WORKER_COUNT(worker, ACCESS_LOG_DROPPED, 1);
        return;
    }
    struct request_info info;
    struct header_patch request[OWN_PATCHES + PATCHES_MAX], response[OWN_PATCHES + PATCHES_MAX];
    if (stream->req.method.len > 0)
        stream_identify(stream);
    stream_fill_info(stream, &info);
    add_own_patches(stream, &info, request, response);
    size_t len = format_render(proxy_get_options(worker->proxy)->access_log_format, &info, line,
                               ACCESS_LOG_LINE_MAX);
    if (len > ACCESS_LOG_LINE_MAX) {
        len = ACCESS_LOG_LINE_MAX;
        line[len - 1] = '\n';
    }
    WORKER_COUNT(worker, ACCESS_LOG_LINES, 1);
    if (access_log_commit(worker->log, len))
        timer_arm(&worker->loop.wheel, &worker->log_timer, worker->loop.now_ms + LOG_FLUSH_MS);
}
