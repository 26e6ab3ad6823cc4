// SPDX-License-Identifier: Apache-2.0
#include "base/address.h"
#include "tls/internal.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_conn *conn_of(const SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

const char *conn_verified_name(const struct tls_conn *conn)
{
    const struct tls_context *context = conn->context;
    return context->name ? context->name : context->sni ? context->sni : conn->host;
}

// ---- why it failed ----

// The first entry of OpenSSL's own room, else the first at all: what came later follows from it.
static unsigned long take_error(void)
{
    unsigned long found = 0;
    for (unsigned long error; (error = ERR_get_error()) != 0;)
        if (found == 0 || (ERR_GET_LIB(found) != ERR_LIB_SSL && ERR_GET_LIB(error) == ERR_LIB_SSL))
            found = error;
    return found;
}

static void set_failure(struct tls_conn *conn, const char *what, const char *detail)
{
    char *text;
    if (asprintf(&text, "%s: %s", what, detail) < 0)
        return;
    free(conn->failure_text);
    conn->failure = conn->failure_text = text;
}

void conn_fail(struct tls_conn *conn, const char *why)
{
    conn->is_failed = true;
    ERR_clear_error();
    if (why)
        conn->failure = why;
    else if (!conn->failure && conn->wire_error)
        set_failure(conn, "the connection broke", strerrordesc_np(conn->wire_error));
}

void conn_fail_with_alert(struct tls_conn *conn, int description)
{
    conn_fail(conn, "the peer sent an alert");
    set_failure(conn, "the peer sent the alert", SSL_alert_desc_string_long(description));
    for (char *at = conn->failure_text; at && *at; at++)
        if (*at == '_') // "unexpected_message", but "bad record mac"
            *at = ' ';
}

void conn_note_failure(struct tls_conn *conn)
{
    unsigned long error = take_error();
    int reason = ERR_GET_REASON(error);
    const char *words = ERR_reason_error_string(error);
    conn->is_failed = true;
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
        conn_fail(conn, conn->wire_error ? NULL : words ? words : "no reason given");
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        long result = SSL_get_verify_result(conn->ssl);
        set_failure(conn, "certificate verify failed",
                    conn->failure ? conn->failure : X509_verify_cert_error_string(result));
    } else if (reason > SSL_AD_REASON_OFFSET) {
        conn_fail_with_alert(conn, reason - SSL_AD_REASON_OFFSET);
    } else if (reason == SSL_R_HTTP_REQUEST) {
        conn->failure = "a plain HTTP request instead of TLS";
    } else if (reason == SSL_R_WRONG_VERSION_NUMBER) {
        conn->failure = "what came is not TLS (wrong version number)";
    } else {
        conn->failure = words ? words : "no reason given";
    }
}

struct str tls_failure(const struct tls_conn *conn)
{
    return str_of(conn->failure);
}

// ---- life ----

static struct tls_conn *make_conn(struct tls_context *context, struct tls_io *io)
{
    struct tls_conn *conn = calloc(1, sizeof(*conn));
    CHECK(conn);
    conn->io = io;
    conn->context = tls_context_ref(context);
    conn->is_server = context->is_server;
    conn->ssl = SSL_new(context->ssl);
    CHECK(conn->ssl);
    BIO *bio = io_create(conn);
    SSL_set_bio(conn->ssl, bio, bio); // takes it
    return conn;
}

struct tls_conn *tls_accept(struct tls_context *context, struct tls_io *io, struct str early)
{
    CHECK(context->is_server && early.len <= UINT32_MAX);
    struct tls_conn *conn = make_conn(context, io);
    SSL_set_accept_state(conn->ssl);
    if (early.len > 0) {
        conn->early = malloc(early.len);
        CHECK(conn->early);
        memcpy(conn->early, early.ptr, early.len);
        conn->early_end = (uint32_t)early.len;
    }
    return conn;
}

// RFC 6066, 3: a host name, no address.
static void send_sni(struct tls_conn *conn)
{
    const char *name = conn->context->sni ? conn->context->sni : conn->host;
    struct address ip;
    size_t len = strlen(name);
    if (!conn->context->sends_sni || len == 0 || len > TLSEXT_MAXLEN_host_name ||
        address_parse_ip(str_of(name), &ip))
        return;
    SSL_set_tlsext_host_name(conn->ssl, name);
}

struct tls_conn *tls_connect(struct tls_context *context, struct tls_io *io, struct str host,
                             struct tls_session *session)
{
    CHECK(!context->is_server);
    struct tls_conn *conn = make_conn(context, io);
    conn->host = strndup(host.len ? host.ptr : "", host.len);
    CHECK(conn->host);
    SSL_set_connect_state(conn->ssl);
    send_sni(conn);
    if (session)
        session_offer(conn, session);
    return conn;
}

void tls_offer_http1(struct tls_conn *conn)
{
    static const unsigned char http1[] = "\x08http/1.1";
    if (conn->context->offers_h2)
        CHECK(SSL_set_alpn_protos(conn->ssl, http1, sizeof http1 - 1) == 0);
}

static void free_ssl(struct tls_conn *conn)
{
    if (!conn->ssl)
        return;
    // Else OpenSSL takes a session for broken that ended without close_notify, and looks for it.
    SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(conn->ssl);
    conn->ssl = NULL;
}

void tls_free(struct tls_conn *conn)
{
    if (!conn)
        return;
    free_ssl(conn);
    record_free(conn->layer);
    X509_free(conn->peer_certificate);
    free(conn->sni);
    SSL_SESSION_free(conn->session);
    peer_free(conn->peer);
    tls_context_unref(conn->context);
    free(conn->out);
    free(conn->early);
    free(conn->failure_text);
    free(conn->host);
    free(conn);
}

// ---- handshake ----

// From here on two keys are enough, and what is told of the handshake.
static void leave_openssl(struct tls_conn *conn)
{
    const char *sni = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);
    conn->version = SSL_get_version(conn->ssl);
    conn->cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(conn->ssl));
    conn->sni = sni ? strdup(sni) : NULL;
    conn->alpn = tls_alpn(conn);
    conn->is_resumed = tls_is_resumed(conn);
    conn->peer_certificate = SSL_get1_peer_certificate(conn->ssl);
    conn->verify_result = SSL_get_verify_result(conn->ssl);
    free_ssl(conn);
}

static enum tls_status finish_handshake(struct tls_conn *conn)
{
    bool is_tls13 = SSL_version(conn->ssl) == TLS1_3_VERSION;
    conn->is_done = true;
    conn->failure = NULL;
    if (conn->is_server) { // the staple was for the handshake only
        SSL_set_tlsext_status_ocsp_resp(conn->ssl, NULL, 0);
        if (record_adopt(conn, io_count_records()))
            leave_openssl(conn);
    } else if (!is_tls13) { // also one that was only renewed
        session_on_new(conn->ssl, SSL_get1_session(conn->ssl));
    }
    // With TLS 1.3 nothing but a ticket is left to be sent, which nobody waits for: it goes along
    // with the first data and spares a system call.
    io_end(conn, conn->is_server && is_tls13);
    if (!conn->wire_error)
        return TLS_DONE;
    conn_fail(conn, NULL);
    return TLS_CLOSED;
}

static enum tls_status fail_handshake(struct tls_conn *conn)
{
    bool is_closed = conn->saw_end || conn->wire_error;
    if (conn->saw_end) {
        conn_fail(conn, "closed in the middle of the handshake");
        io_drop(); // an alert that nobody reads
    } else {
        conn_note_failure(conn);
        io_end(conn, false); // the alert, if there is room for it
    }
    return is_closed ? TLS_CLOSED : TLS_FAILED;
}

enum tls_status tls_handshake(struct tls_conn *conn)
{
    if (conn->is_failed)
        return TLS_FAILED;
    if (conn->is_done)
        return TLS_DONE;
    int waits = tls_wants_write(conn) ? tls_flush(conn) : 0;
    if (waits == -EAGAIN)
        return TLS_AGAIN;
    io_begin(conn);
    if (waits < 0)
        return fail_handshake(conn);
    kdf_watch(conn->is_server ? conn : NULL);
    int ok = SSL_do_handshake(conn->ssl);
    kdf_watch(NULL);
    if (ok == 1)
        return finish_handshake(conn);
    int error = SSL_get_error(conn->ssl, ok);
    if (error != SSL_ERROR_WANT_READ)
        return fail_handshake(conn);
    io_end(conn, false);
    if (!conn->wire_error)
        return TLS_AGAIN;
    conn_fail(conn, NULL);
    return TLS_CLOSED;
}

// ---- what it came to ----

enum tls_alpn tls_alpn(const struct tls_conn *conn)
{
    const unsigned char *word;
    unsigned len;
    if (!conn->ssl)
        return conn->alpn;
    SSL_get0_alpn_selected(conn->ssl, &word, &len);
    struct str protocol = {(const char *)word, len};
    return str_is(protocol, "h2")         ? TLS_ALPN_H2
           : str_is(protocol, "http/1.1") ? TLS_ALPN_HTTP1
                                          : TLS_ALPN_NONE;
}

struct str tls_version_word(const struct tls_conn *conn)
{
    return str_of(conn->ssl ? SSL_get_version(conn->ssl) : conn->version);
}

struct str tls_cipher_word(const struct tls_conn *conn)
{
    const SSL_CIPHER *cipher = conn->ssl ? SSL_get_current_cipher(conn->ssl) : NULL;
    return str_of(cipher ? SSL_CIPHER_get_name(cipher) : conn->cipher);
}

bool tls_is_resumed(const struct tls_conn *conn)
{
    return conn->ssl ? SSL_session_reused(conn->ssl) == 1 : conn->is_resumed;
}

struct str tls_sni(const struct tls_conn *conn)
{
    if (!conn->is_server)
        return STR_NONE;
    return str_of(conn->ssl ? SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name) : conn->sni);
}
