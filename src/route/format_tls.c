// SPDX-License-Identifier: Apache-2.0
// Evaluators of what TLS tells: the operation's offset says of which side's connection.
#include "route/format_values.h"

#include "route/format_time.h"
#include "tls/tls.h"

static struct tls_conn *conn_of(const struct operation *operation, const struct request_info *info)
{
    struct tls_conn *conn;
    memcpy(&conn, (const char *)info + operation->offset, sizeof(conn));
    return conn;
}

#define CONN_FACT(name, get)                                                                       \
    bool evaluate_##name(const struct operation *operation, const struct request_info *info,       \
                         char *scratch, struct value *ret)                                         \
    {                                                                                              \
        const struct tls_conn *conn = conn_of(operation, info);                                    \
        ret->is_number = false;                                                                    \
        ret->text = conn ? get(conn) : STR_NONE;                                                   \
        return ret->text.len > 0;                                                                  \
    }
CONN_FACT(tls_version, tls_version_word)
CONN_FACT(tls_cipher, tls_cipher_word)

static bool find_peer(const struct operation *operation, const struct request_info *info,
                      struct tls_peer *ret)
{
    struct tls_conn *conn = conn_of(operation, info);
    return conn && tls_peer(conn, ret);
}

#define PEER_FACT(name, field)                                                                     \
    bool evaluate_##name(const struct operation *operation, const struct request_info *info,       \
                         char *scratch, struct value *ret)                                         \
    {                                                                                              \
        struct tls_peer peer;                                                                      \
        ret->is_number = false;                                                                    \
        ret->text = find_peer(operation, info, &peer) ? peer.field : STR_NONE;                     \
        return ret->text.len > 0;                                                                  \
    }
PEER_FACT(peer_subject, subject)
PEER_FACT(peer_issuer, issuer)
PEER_FACT(peer_serial, serial)
PEER_FACT(peer_fingerprint, sha256)
PEER_FACT(peer_certificate, pem_escaped)
PEER_FACT(peer_uri_san, uri_sans)
PEER_FACT(peer_dns_san, dns_sans)

static bool write_time(const struct operation *operation, int64_t s, char *scratch,
                       struct value *ret)
{
    ret->text = (struct str){scratch, time_format_write(operation->time, s * 1000000000, scratch)};
    ret->is_number = false;
    return true;
}

bool evaluate_peer_from(const struct operation *operation, const struct request_info *info,
                        char *scratch, struct value *ret)
{
    struct tls_peer peer;
    return find_peer(operation, info, &peer) &&
           write_time(operation, peer.not_before_s, scratch, ret);
}

bool evaluate_peer_until(const struct operation *operation, const struct request_info *info,
                         char *scratch, struct value *ret)
{
    struct tls_peer peer;
    return find_peer(operation, info, &peer) &&
           write_time(operation, peer.not_after_s, scratch, ret);
}
