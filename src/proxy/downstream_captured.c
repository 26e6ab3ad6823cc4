// SPDX-License-Identifier: Apache-2.0
// Captured connections: the address that the client dialled, what it speaks, and where it goes by
// both. Each is looked up in the snapshot that is served when it is needed.
#include "proxy/dialled.h"
#include "proxy/first_bytes.h"
#include "proxy/greeting.h"
#include "route/address_index.h"

struct found { // what is behind the address that was dialled
    const struct listener *listener;
    const struct captured_port *port;
    const struct captured_destination *destination;
};

static bool find(const struct downstream *down, struct found *ret)
{
    const struct listener *listener = worker_listener(down->worker, down->listener_slot);
    if (!listener || !listener_is_captured(listener))
        return false;
    ret->listener = listener;
    ret->port = listener_captured_port(listener, down->local.port);
    ret->destination = address_index_find(ret->port->by_address, &down->local);
    if (!ret->destination)
        ret->destination = &ret->port->any;
    return true;
}

const struct captured_port *downstream_captured_port(struct downstream *down)
{
    uint64_t generation = down->worker->hold->snapshot->generation;
    if (down->chain_generation != generation) {
        struct found found;
        down->captured_port = find(down, &found) ? found.port : NULL;
        down->chain_generation = generation;
    }
    return down->captured_port;
}

// ---- what it speaks ----

static void arm(struct downstream *down, int64_t deadline_ms)
{
    timer_arm(&down->worker->loop.wheel, &down->timer, deadline_ms);
}

static void begin_tcp(struct downstream *down, const struct found *found,
                      const struct tcp_routes *routes)
{
    downstream_drop_greeting(down);
    downstream_begin_tcp(down, found->listener, routes, greeting_unread(down));
}

// TLS is passed on: the name chooses what is behind it; one that is not known, or none, leaves the
// address to do so.
static void begin_tls(struct downstream *down, const struct found *found,
                      const struct client_hello *hello)
{
    greeting_keep_name(down, hello);
    const struct vhost *name =
        found->port->sni ? host_table_find(found->port->sni, str_of(down->sni)) : NULL;
    begin_tcp(down, found, name && name->chain ? &name->chain->tcp : &found->destination->tcp);
}

static void begin_http(struct downstream *down)
{
    downstream_drop_greeting(down);
    downstream_begin_http(down);
}

// So long for one more byte of what may be HTTP yet: within the limit of all greetings.
static int64_t detect_deadline_ms(const struct downstream *down)
{
    const struct proxy_options *options = proxy_get_options(down->worker->proxy);
    int64_t next = down->worker->loop.now_ms + options->detect_timeout_ms;
    int64_t last = down->accepted_ns / 1000000 + options->greeting_timeout_ms;
    return next < last ? next : last;
}

static bool await_more(struct downstream *down, const struct found *found, bool is_tls)
{
    struct worker *worker = down->worker;
    if (is_tls && !down->greeting->has_part_tls)
        arm(down, worker->loop.now_ms + proxy_get_options(worker->proxy)->greeting_timeout_ms);
    else if (!is_tls && found->destination->protocol == CAPTURE_DETECT)
        arm(down, detect_deadline_ms(down));
    down->greeting->has_part_tls |= is_tls;
    ssize_t n = greeting_read(down);
    if (n > 0 || n == -EAGAIN)
        return n > 0;
    // A client of TCP may end its side at once and still listen.
    if (n == 0 && !is_tls && found->destination->protocol == CAPTURE_DETECT) {
        down->sock.readable = true; // the end is read once more, by the tunnel
        begin_tcp(down, found, &found->destination->tcp);
    } else {
        greeting_left(down);
    }
    return false;
}

// Where HTTP is declared, what is no TLS is left to the parser, which says what is wrong with it.
static bool is_left_to_http(const struct downstream *down, const struct found *found,
                            enum first_bytes speaks)
{
    if (found->destination->protocol != CAPTURE_HTTP || down->rx_off == down->rx_end)
        return false;
    return speaks == FIRST_BYTES_MORE ||
           (speaks == FIRST_BYTES_OTHER && !first_bytes_are_of_tls(greeting_unread(down)));
}

bool downstream_step_look(struct downstream *down)
{
    struct client_hello hello;
    struct found found;
    if (!find(down, &found)) {
        greeting_refuse_unserved(down);
        return false;
    }
    enum first_bytes speaks = first_bytes_look(greeting_unread(down), &hello);
    if (is_left_to_http(down, &found, speaks))
        speaks = FIRST_BYTES_HTTP;
    switch (speaks) {
    case FIRST_BYTES_MORE:
    case FIRST_BYTES_PART_OF_TLS:
        return await_more(down, &found, speaks == FIRST_BYTES_PART_OF_TLS);
    case FIRST_BYTES_TLS:
        begin_tls(down, &found, &hello);
        break;
    case FIRST_BYTES_HTTP:
        begin_http(down);
        break;
    case FIRST_BYTES_OTHER:
        begin_tcp(down, &found, &found.destination->tcp);
        break;
    }
    return false;
}

bool downstream_on_look_timeout(struct downstream *down)
{
    struct found found;
    if (!find(down, &found)) {
        greeting_refuse_unserved(down);
        return true;
    }
    if (found.destination->protocol != CAPTURE_DETECT || down->greeting->has_part_tls)
        return false;
    WORKER_COUNT(down->worker, CAPTURE_SILENT, 1);
    begin_tcp(down, &found, &found.destination->tcp);
    return true;
}

bool downstream_awaits_request(const struct downstream *down)
{
    struct found found;
    return down->state == DOWN_GREETING && down->greeting->step == GREET_LOOK &&
           down->rx_off == down->rx_end && !sock_has_unread(&down->sock) && find(down, &found) &&
           found.destination->protocol == CAPTURE_HTTP;
}

// ---- the door ----

// Forwarding to the listener itself would never end.
static bool leads_back(const struct downstream *down, const struct listener *listener)
{
    uint16_t port = listener->is_transparent ? listener->bind.port : down->own.port;
    return down->local.port == port && address_is_local(&down->local);
}

void downstream_begin_captured(struct downstream *down, const struct listener *listener)
{
    const struct proxy_options *options = proxy_get_options(down->worker->proxy);
    struct found found;
    down->captured = listener->kind == LISTENER_OUTBOUND ? CAPTURED_OUT : CAPTURED_IN;
    if (!dialled_address(down->sock.watch.fd, listener->is_transparent, &down->own, &down->local) ||
        leads_back(down, listener)) {
        WORKER_COUNT(down->worker, NOT_CAPTURED, 1);
        down->local = down->own;
        sock_reset_on_close(&down->sock);
        greeting_refuse(down,
                        &(struct refusal){.flags = FLAG_BIT(NR), .details = STR("not_captured")});
        return;
    }
    if (!find(down, &found)) {
        greeting_refuse_unserved(down);
        return;
    }
    if (found.destination->protocol == CAPTURE_TCP) {
        downstream_begin_tcp(down, listener, &found.destination->tcp, STR_NONE);
        return;
    }
    down->state = DOWN_GREETING;
    greeting_begin(down, &(struct greeting){.step = GREET_LOOK});
    arm(down, found.destination->protocol == CAPTURE_DETECT
                  ? detect_deadline_ms(down)
                  : down->worker->loop.now_ms + options->keepalive_timeout_ms);
}
