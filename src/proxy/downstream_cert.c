// SPDX-License-Identifier: Apache-2.0
// What endpoints are told of a client's certificate: x-forwarded-client-cert as Envoy writes it on
// Istio's gateways, and the ssl-client-* fields of ingress-nginx. What a client says itself in
// these fields never gets this far, see stream_head.c.
#include "proxy/stream.h"

struct fields {
    struct stream *stream;
    struct header_field *items;
    unsigned n;
};

static void add(struct fields *fields, const char *name, struct str value)
{
    if (value.len > 0) // an empty field is not sent
        fields->items[fields->n++] = (struct header_field){str_of(name), value};
}

// ---- x-forwarded-client-cert ----

struct text {
    char *at;
};

static void put(struct text *text, struct str part)
{
    if (part.len > 0)
        text->at = mempcpy(text->at, part.ptr, part.len);
}

// One key for each name; their texts hold nothing that would end a value (struct tls_peer).
static void put_names(struct text *text, struct str key, struct str names)
{
    struct str name;
    while (names.len > 0 && str_next(&names, ',', &name)) {
        put(text, key);
        put(text, name);
    }
}

static size_t count_names(struct str names)
{
    size_t n = names.len > 0;
    for (size_t i = 0; i < names.len; i++)
        n += names.ptr[i] == ',';
    return n;
}

static struct str forwarded(struct stream *stream, const struct tls_peer *peer)
{
    enum { KEY_BYTES_MAX = 5, FRAME_BYTES = 64 }; // ";URI="; "Hash=", ";Cert=\"", ...
    size_t cap = FRAME_BYTES + peer->sha256.len + peer->pem_escaped.len + peer->subject.len +
                 peer->uri_sans.len + peer->dns_sans.len +
                 KEY_BYTES_MAX * (count_names(peer->uri_sans) + count_names(peer->dns_sans));
    char *begin = stream_alloc(stream, cap);
    struct text text = {begin};
    put(&text, STR("Hash="));
    put(&text, peer->sha256);
    put(&text, STR(";Cert=\""));
    put(&text, peer->pem_escaped);
    put(&text, STR("\";Subject=\""));
    put(&text, peer->subject); // its quotes are escaped already (RFC 2253)
    put(&text, STR("\""));
    if (peer->uri_sans.len == 0)
        put(&text, STR(";URI=")); // there also when empty
    put_names(&text, STR(";URI="), peer->uri_sans);
    put_names(&text, STR(";DNS="), peer->dns_sans);
    return (struct str){begin, (size_t)(text.at - begin)};
}

// ---- ingress-nginx ----

static struct str verdict(struct stream *stream, const struct tls_peer *peer)
{
    static const struct str failed = {"FAILED:", 7};
    if (peer->is_verified)
        return STR("SUCCESS");
    char *begin = stream_alloc(stream, failed.len + peer->verify_failure.len);
    struct text text = {begin};
    put(&text, failed);
    put(&text, peer->verify_failure);
    return (struct str){begin, (size_t)(text.at - begin)};
}

static void add_ingress_fields(struct fields *fields, const struct filter_chain *chain,
                               const struct tls_peer *peer)
{
    if (!peer) {
        add(fields, "ssl-client-verify", STR("NONE"));
        return;
    }
    add(fields, "ssl-client-verify", verdict(fields->stream, peer));
    add(fields, "ssl-client-subject-dn", peer->subject);
    add(fields, "ssl-client-issuer-dn", peer->issuer);
    if (chain->client_cert_pem)
        add(fields, "ssl-client-cert", peer->pem_escaped);
}

unsigned stream_client_cert_fields(struct stream *stream,
                                   struct header_field items[CLIENT_CERT_FIELDS_MAX])
{
    struct fields fields = {stream, items, 0};
    struct tls_conn *conn = sock_tls_conn(&stream->down->sock);
    const struct filter_chain *chain = conn ? downstream_chain(stream->down) : NULL;
    if (!chain ||
        (chain->client_cert_forward == CLIENT_CERT_SANITIZE && !chain->passes_ingress_cert))
        return 0;
    struct tls_peer peer;
    bool is_given = tls_peer(conn, &peer);
    if (chain->client_cert_forward == CLIENT_CERT_SET && is_given && peer.is_verified)
        add(&fields, "x-forwarded-client-cert", forwarded(stream, &peer));
    if (chain->passes_ingress_cert)
        add_ingress_fields(&fields, chain, is_given ? &peer : NULL);
    return fields.n;
}
