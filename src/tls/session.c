// SPDX-License-Identifier: Apache-2.0
// Sessions of the client's side, for resumption.
#include "tls/internal.h"
#include <openssl/err.h>
#include <stdlib.h>

int session_on_new(SSL *ssl, SSL_SESSION *session)
{
    struct tls_conn *conn = conn_of(ssl);
    SSL_SESSION_free(conn->session);
    conn->session = session;
    return 1; // we keep the reference
}

// A session spares the check of the server's certificate: only to whom was checked in this very
// way, for this host, and while its certificate is valid.
void session_offer(struct tls_conn *conn, const struct tls_session *session)
{
    if (memcmp(session->context_digest, conn->context->digest, DIGEST_BYTES) != 0 ||
        strcmp(session->host, conn->host) != 0)
        return;
    if (conn->context->verifies) {
        X509 *certificate = SSL_SESSION_get0_peer(session->session);
        if (!certificate || X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
            return;
    }
    if (SSL_set_session(conn->ssl, session->session) != 1)
        ERR_clear_error(); // then without
}

struct tls_session *tls_take_session(struct tls_conn *conn)
{
    if (!conn->session || SSL_SESSION_is_resumable(conn->session) != 1)
        return NULL;
    size_t len = strlen(conn->host) + 1;
    struct tls_session *session = malloc(sizeof(*session) + len);
    CHECK(session);
    // One of its own: what the connection comes to (an end without close_notify) marks OpenSSL's as
    // not resumable.
    session->session = SSL_SESSION_dup(conn->session);
    CHECK(session->session);
    SSL_SESSION_free(conn->session);
    conn->session = NULL;
    memcpy(session->context_digest, conn->context->digest, DIGEST_BYTES);
    memcpy(session->host, conn->host, len);
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (!session)
        return;
    SSL_SESSION_free(session->session);
    free(session);
}

struct tls_session *tls_session_copy(const struct tls_session *session)
{
    size_t bytes = sizeof(*session) + strlen(session->host) + 1;
    struct tls_session *copy = malloc(bytes);
    CHECK(copy);
    memcpy(copy, session, bytes);
    copy->session = SSL_SESSION_dup(session->session);
    CHECK(copy->session);
    return copy;
}
