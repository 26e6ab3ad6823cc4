// SPDX-License-Identifier: Apache-2.0
// TLS through OpenSSL 3, the only room that knows it. Two halves:
//
// A *context* holds what many connections share: certificates, authorities, versions, ciphers. The
// control thread makes it from bytes (PEM texts that compile found in Secrets or files); it is
// immutable then, shared by snapshots and workers, and freed with its last reference (atomic).
//
// A *connection* belongs to one worker. It does no I/O of its own: it calls the `struct tls_io`
// that it was given, so that sockets, readiness and counters stay with the proxy.
//
// Glossary: *pair* a certificate chain with its key; *staple* an OCSP response given along;
// *ticket keys* encrypt session tickets: one set for all workers, rotated; *SAN* a name in a
// certificate (subjectAltName).
#pragma once
#include "base/str.h"
#include <stddef.h>
#include <sys/types.h>

struct tls_context;
struct tls_conn;
struct tls_session; // resumption, client side
struct buf;

// ---- contexts: control thread ----

struct tls_pair {
    struct str certificate_pem; // leaf first, then the chain
    struct str key_pem;
    struct str ocsp_der; // staple; empty: none
};

enum tls_client_auth {
    TLS_CLIENT_NONE,
    TLS_CLIENT_OPTIONAL,       // asked; verified if given
    TLS_CLIENT_OPTIONAL_NO_CA, // asked; whether it verifies is only told (ingress-nginx)
    TLS_CLIENT_REQUIRED,
};

// Versions as on the wire; 0: the default (1.2 to 1.3).
enum { TLS_VERSION_1_0 = 0x0301, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

// What both sides of a handshake can be told. All borrowed for the call.
struct tls_common {
    uint16_t version_min, version_max;
    struct str ciphers; // OpenSSL's list of TLS 1.2 suites, ':' between; empty: our default
    struct str curves;  // "X25519:P-256"; empty: our default
    struct str ca_pem;  // authorities; client: empty: the system's
    struct str crl_pem; // revoked certificates; empty: none
    unsigned verify_depth; // 0: the default
    const struct str *subject_alt_names; // one of them must be in the peer's certificate
    size_t n_subject_alt_names;          // 0: server: any; client: the host's name
    const struct str *spki_hashes; // base64 of SHA-256 of the peer's SubjectPublicKeyInfo
    size_t n_spki_hashes;
    const struct str *certificate_hashes; // hex of SHA-256 of the peer's certificate, ':' allowed
    size_t n_certificate_hashes;
};
struct tls_server_config {
    struct tls_common common;
    const struct tls_pair *pairs; // at most one a key type; RSA and ECDSA side by side
    size_t n_pairs;
    enum tls_client_auth client_auth;
    bool has_alpn; // HTTP: answers ALPN
    bool offers_h2;
    // Sessions resume only where this is the same: the server's name in its manifest.
    struct str identity;
};
struct tls_client_config {
    struct tls_common common;
    struct tls_pair pair; // client certificate; certificate_pem empty: none
    bool verifies;        // false: any certificate
    bool sends_sni;
    struct str sni;  // empty: the name given to tls_connect()
    struct str name; // verified instead of the SNI; empty: the SNI
    bool offers_h2, offers_http1; // ALPN; neither: none is sent
};

// Which part of a config is wrong and why, so that the caller can name the field or Secret key.
enum tls_part {
    TLS_PART_NONE, TLS_PART_CERTIFICATE, TLS_PART_KEY, TLS_PART_MISMATCH /* key and certificate */,
    TLS_PART_CA, TLS_PART_CRL, TLS_PART_OCSP, TLS_PART_CIPHERS, TLS_PART_CURVES, TLS_PART_VERSIONS,
    TLS_PART_SPKI, TLS_PART_HASH
};
struct tls_error {
    enum tls_part part;
    size_t pair; // index into pairs
    char message[200]; // "no certificate in it", "the key is encrypted", "is not that of the certificate"
};

// Whether versions, ciphers and curves make sense; the rest is not looked at.
bool tls_check_common(const struct tls_common *common, struct tls_error *reterr);
// NULL: *reterr says why. Both begin with one reference.
struct tls_context *tls_server_create(const struct tls_server_config *config,
                                      struct tls_error *reterr);
struct tls_context *tls_client_create(const struct tls_client_config *config,
                                      struct tls_error *reterr);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context); // any thread; NULL is fine
// Bytes that are equal for equal configs, for a cache of contexts: appended to `out`.
void tls_server_digest(const struct tls_server_config *config, struct buf *out);
void tls_client_digest(const struct tls_client_config *config, struct buf *out);
// Client: SNI or verification go by the name given to tls_connect(), so that a connection serves no
// other name.
bool tls_context_goes_by_host(const struct tls_context *context);
bool tls_context_asks_client(const struct tls_context *context); // client_auth is not NONE

// What a certificate says, for diagnostics, metrics and the dump. false: no certificate in `pem`.
struct tls_certificate_facts {
    int64_t not_before_s, not_after_s; // wall clock
    char subject[256];                 // RFC 2253
    char key_type[16];                 // "RSA 2048", "EC P-256"
};
bool tls_certificate_facts(struct str pem, struct tls_certificate_facts *ret);
// Does the leaf of `pem` carry the name (wildcards as RFC 6125)? `host` may itself be "*.x".
bool tls_certificate_covers(struct str pem, struct str host);

// Once a process, before any context; keys for session tickets are made, and made anew by
// tls_rotate_tickets(), which the control thread calls every TLS_TICKET_ROTATION_S: older keys
// still open tickets for two rotations.
enum { TLS_TICKET_ROTATION_S = 12 * 3600 };
// Who has the records and the key schedule of TLS 1.3 on servers' connections. OWN: this room,
// where it can (see record.c, kdf.c); OPENSSL: all of it stays there.
enum tls_records { TLS_RECORDS_OWN, TLS_RECORDS_OPENSSL };
void tls_set_records(enum tls_records records); // before tls_init(), if at all
void tls_init(void);
void tls_fini(void);
void tls_rotate_tickets(void);
// A certificate and key of our own making (self-signed, EC P-256), for hosts without any: PEM
// texts appended. For the default certificate.
void tls_make_self_signed(struct str common_name, struct buf *ret_certificate, struct buf *ret_key);

// ---- connections: worker ----

// The way to the wire. Results as recv(2) and send(2) with -errno: > 0 bytes, 0 end of file
// (recv), -EAGAIN nothing now. `recv` may be asked again after -EAGAIN only when told by events.
struct tls_io {
    ssize_t (*recv)(struct tls_io *io, void *data, size_t cap);
    ssize_t (*send)(struct tls_io *io, const void *data, size_t len);
};

enum tls_status {
    TLS_DONE,
    TLS_AGAIN,  // waits for bytes, or for room (see tls_wants_write)
    TLS_CLOSED, // the peer ended it in the middle
    TLS_FAILED, // see tls_failure()
};

// `early`: bytes that were read from the wire before (the ClientHello); copied.
struct tls_conn *tls_accept(struct tls_context *context, struct tls_io *io, struct str early);
// `host`: for SNI and verification where the context has none. `session`: borrowed, may be NULL.
struct tls_conn *tls_connect(struct tls_context *context, struct tls_io *io, struct str host,
                             struct tls_session *session);
// Client side, before the handshake: where the context offers h2 too, http/1.1 alone after all.
void tls_offer_http1(struct tls_conn *conn);
void tls_free(struct tls_conn *conn); // NULL is fine; sends nothing
enum tls_status tls_handshake(struct tls_conn *conn);
// Ciphertext waits for room on the wire. A server's ticket (TLS 1.3) does not count: it goes along
// with the first data, or with tls_flush().
bool tls_wants_write(const struct tls_conn *conn);
// Sends what waits. 0: nothing waits any more; -EAGAIN; other -errno.
int tls_flush(struct tls_conn *conn);
// > 0: bytes; 0: end (close_notify); -EAGAIN: nothing now; -EPROTO: broken, or cut without
// close_notify (see tls_failure); other -errno of the wire. Fills `cap` as far as records are there.
ssize_t tls_recv(struct tls_conn *conn, void *data, size_t cap);
// Decrypted bytes, or undecrypted ones already read from the wire, wait inside: recv without an event.
bool tls_has_pending(const struct tls_conn *conn);
// Takes all of `len` (at most TLS_SEND_MAX) or nothing: what the wire does not take is kept inside
// (tls_wants_write) and must be flushed before more is sent: -EAGAIN until then. All records of a
// call go out in one write.
enum { TLS_SEND_MAX = 256 * 1024 };
ssize_t tls_send(struct tls_conn *conn, const void *data, size_t len);
ssize_t tls_send2(struct tls_conn *conn, struct str first, struct str second); // as one
void tls_shutdown(struct tls_conn *conn); // close_notify; what does not go out now is dropped
// Gives back what an idle connection need not hold.
void tls_rest(struct tls_conn *conn);

// ---- what a handshake came to ----

enum tls_alpn { TLS_ALPN_NONE, TLS_ALPN_HTTP1, TLS_ALPN_H2 };
enum tls_alpn tls_alpn(const struct tls_conn *conn);
struct str tls_version_word(const struct tls_conn *conn); // "TLSv1.3"
struct str tls_cipher_word(const struct tls_conn *conn);  // "TLS_AES_128_GCM_SHA256"
bool tls_is_resumed(const struct tls_conn *conn);
struct str tls_sni(const struct tls_conn *conn); // server: as asked for; empty: none
// Why it failed, in OpenSSL's or our words: "certificate verify failed: certificate has expired".
struct str tls_failure(const struct tls_conn *conn);
// Client side: what the next tls_connect() to the same server may take; NULL: none. The caller
// frees it. TLS 1.3's tickets come after the handshake: ask when the connection is given back.
struct tls_session *tls_take_session(struct tls_conn *conn);
void tls_session_free(struct tls_session *session); // NULL is fine
struct tls_session *tls_session_copy(const struct tls_session *session); // for another thread
// The peer's certificate for log and headers; texts live in `ret->room` memory of the connection
// until it is freed; made at the first call. false: the peer gave none.
struct tls_peer {
    struct str subject, issuer;  // RFC 2253
    struct str serial;           // hex
    struct str sha256;           // of the certificate, hex
    struct str uri_san, dns_san; // the first of each; empty: none
    struct str dns_sans, uri_sans; // all, ',' between
    struct str pem_escaped;      // URL-encoded PEM
    int64_t not_before_s, not_after_s;
    bool is_verified;
    struct str verify_failure; // why not
};
bool tls_peer(struct tls_conn *conn, struct tls_peer *ret);
