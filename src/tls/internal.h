// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
#pragma once
#include "base/buf.h"
#include "base/check.h"
#include "tls/tls.h"
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

enum { DIGEST_BYTES = 32 }; // SHA-256

// ---- a context ----

struct digests { // of certificates or keys; one of them must be the peer's
    uint8_t (*items)[DIGEST_BYTES];
    size_t n;
};
struct names { // texts behind the array, in one block
    struct str *items;
    size_t n;
};
struct staple {
    X509 *certificate; // that it speaks of; borrowed from the SSL_CTX
    uint8_t *der;
    size_t len;
    int64_t end_s; // wall clock; INT64_MAX: it names no end
};

struct shared_ssl;
struct tls_context {
    atomic_uint n_refs;
    SSL_CTX *ssl;                 // one reference
    struct shared_ssl *shared;    // client: other contexts have the same `ssl`; see shared_ssl.c
    uint8_t digest[DIGEST_BYTES]; // of the whole config
    bool is_server;
    bool verifies;       // asks for a certificate (server), or looks at it (client)
    bool verifies_chain; // false: only digests
    bool lets_unverified_pass;
    bool needs_certificate;
    bool has_alpn, offers_h2, offers_http1;
    bool sends_sni;
    struct names subject_alt_names;
    struct digests spki, certificates;
    struct staple *staples;
    size_t n_staples;
    char *sni, *name; // client; NULL: the host's
};

// Parts of tls_server_create() and tls_client_create(). false: *reterr says why.
__attribute__((format(printf, 3, 4))) bool fail_part(struct tls_error *reterr, enum tls_part part,
                                                     const char *format, ...);
// The same with OpenSSL's reason behind `what`; empties its error queue.
bool fail_openssl(struct tls_error *reterr, enum tls_part part, const char *what);

// pair.c: gives the context a certificate, its chain and key; the leaf stays borrowed from it.
bool pair_use(SSL_CTX *ssl, const struct tls_pair *pair, X509 **ret_leaf, X509 **ret_issuer,
              struct tls_error *reterr);
// The certificates of a PEM text, each with one reference; *ret_n 0: none, or one is broken.
X509 **certificates_read(struct str pem, size_t *ret_n);
void certificates_free(X509 **certificates, size_t n);
BIO *bio_of_str(struct str text); // reads `text`, which it borrows

int64_t certificate_seconds(const ASN1_TIME *time); // wall clock; certificate.c

// digest.c: of what decides whom a server trusts: sessions resume only where it is the same.
void digest_of_trust(const struct tls_server_config *config, uint8_t ret[DIGEST_BYTES]);
void digest_of_server(const struct tls_server_config *config, uint8_t ret[DIGEST_BYTES]);
void digest_of_client(const struct tls_client_config *config, uint8_t ret[DIGEST_BYTES]);
// Of what a client's SSL_CTX is made of: all but the names and digests, which verify.c looks at.
void digest_of_client_ssl(const struct tls_client_config *config, uint8_t ret[DIGEST_BYTES]);

// shared_ssl.c
struct shared_ssl *shared_ssl_find(const uint8_t digest[DIGEST_BYTES]); // a user more; NULL: none
struct shared_ssl *shared_ssl_add(const uint8_t digest[DIGEST_BYTES], SSL_CTX *ssl); // one user
SSL_CTX *shared_ssl_ref(const struct shared_ssl *shared);
void shared_ssl_release(struct shared_ssl *shared); // any thread; NULL is fine

// parameters.c: versions, ciphers, curves.
bool parameters_use(SSL_CTX *ssl, const struct tls_common *common, struct tls_error *reterr);

// authorities.c
bool authorities_use(struct tls_context *context, const struct tls_common *common,
                     struct tls_error *reterr);
void authorities_fini(void);

// staple.c
bool staple_read(struct str der, X509 *leaf, X509 *issuer, struct staple *ret,
                 struct tls_error *reterr);
int staple_on_status(SSL *ssl, void *context); // OpenSSL's status callback

// verify.c
bool verify_init(struct tls_context *context, const struct tls_common *common,
                 struct tls_error *reterr);
void verify_fini(struct tls_context *context);
int verify_on_chain(X509_STORE_CTX *store,
                    void *unused); // OpenSSL calls it instead of X509_verify_cert
int verify_on_error(int ok, X509_STORE_CTX *store);
// Does a session with this certificate (or none) still fulfil what the context demands?
bool verify_session(const struct tls_context *context, const SSL_SESSION *session);

// tickets.c
void tickets_init(void);
void tickets_fini(void);
void tickets_use(struct tls_context *context, const struct tls_server_config *config);

// memory.c: before anything else of OpenSSL.
void memory_init(void);

// io.c
void io_init(void);
void io_fini(void);

// ---- a connection ----

struct peer_texts;
struct record_layer;
struct tls_conn {
    SSL *ssl; // NULL: `layer` has taken its place, and what is told of the handshake lies here:
    struct record_layer *layer;   // owned
    const char *version, *cipher; // static
    char *sni;                    // owned
    X509 *peer_certificate;       // one reference
    long verify_result;
    enum tls_alpn alpn;
    bool is_resumed;
    struct tls_io *io;           // borrowed
    struct tls_context *context; // one reference
    char *out;                   // ciphertext that waits for the wire: [out_at, out_end)
    uint32_t out_at, out_end;
    char *early; // bytes read before: [early_at, early_end)
    uint32_t early_at, early_end;
    uint32_t record_left; // of the record that OpenSSL is being given
    uint32_t direct_len;  // a record at least as long may go to the wire as it is
    uint64_t n_records;   // that OpenSSL has sent under its key, about
    int wire_error;       // errno of the wire; it is over then
    uint8_t n_messages;   // handshake messages in a row after the handshake
    bool is_server, is_done;
    bool is_held;            // `out` waits for company, not for room
    bool is_starved;         // OpenSSL has used up all that came, but for a part of a record
    bool was_short;          // the last recv emptied the wire
    bool saw_end;            // of file, on the wire
    bool is_closed;          // close_notify has come
    bool is_shut;            // close_notify was sent, or could not be
    bool is_failed;          // for good; see failure
    const char *failure;     // static, or failure_text; NULL: none
    char *failure_text;      // owned
    char *host;              // client: as given to tls_connect()
    SSL_SESSION *session;    // client: the newest that may be resumed
    struct peer_texts *peer; // owned; NULL: nobody asked yet
};

struct tls_conn *conn_of(const SSL *ssl);
// Notes why it failed from OpenSSL's error queue, which is empty afterwards.
void conn_note_failure(struct tls_conn *conn);
void conn_fail(struct tls_conn *conn, const char *why);            // static text; NULL: wire_error
void conn_fail_with_alert(struct tls_conn *conn, int description); // of the peer
const char *
conn_verified_name(const struct tls_conn *conn); // client: that must be in the certificate

BIO *io_create(struct tls_conn *conn);
void io_begin(struct tls_conn *conn); // before a call that may write
// Sends what the call wrote, or keeps it: until there is room, or (`hold`) until more is sent.
void io_end(struct tls_conn *conn, bool hold);
void io_drop(void);           // forgets what the call wrote
char *io_reserve(size_t len); // room behind what the call wrote; NULL: too much
void io_added(size_t len);
unsigned io_count_records(void); // in what the call wrote
// As tls_io.recv, and notes how it went in the connection.
ssize_t io_recv(struct tls_conn *conn, void *data, size_t cap);
void io_on_info(const SSL *ssl, int where, int value); // OpenSSL's callback

// kdf.c: the key schedule of TLS 1.3.
enum { KDF_SECRET_MAX = 48 };
void kdf_init(bool is_wanted);
void kdf_fini(void);
const char *kdf_properties(void);      // for SSL_CTX_new_ex(); NULL: OpenSSL's own is in use
void kdf_watch(struct tls_conn *conn); // this thread's handshakes are its; NULL: nobody's
void kdf_expand(const char *hash, const uint8_t *secret, size_t secret_len, const char *label,
                uint8_t *ret, size_t len);

// record.c: what takes OpenSSL's place after the handshake of a TLS 1.3 server.
// A key of AES-GCM is good for 2^24.5 full records (RFC 8446, 5.5). Tests lower it.
extern uint64_t records_per_key;
void record_init(void);
void record_fini(void);
// A traffic secret as the handshake derives it: the client's (`is_in`) or ours.
void record_note_secret(struct tls_conn *conn, bool is_in, const uint8_t *secret, size_t len);
// Takes over behind `n_sent` records. false: this connection stays with OpenSSL.
bool record_adopt(struct tls_conn *conn, unsigned n_sent);
// The same, behind no handshake (tests); both secrets are noted.
bool record_begin(struct tls_conn *conn, unsigned suite_id, size_t data_max, unsigned n_sent);
bool record_write(struct tls_conn *conn, struct str first, struct str second);
ssize_t record_read(struct tls_conn *conn, void *data, size_t cap);
bool record_has_pending(const struct tls_conn *conn);
void record_shutdown(struct tls_conn *conn);
void record_free(struct record_layer *layer); // NULL is fine

void peer_free(struct peer_texts *peer); // NULL is fine

struct tls_session {
    SSL_SESSION *session;
    uint8_t context_digest[DIGEST_BYTES];
    char host[]; // that it was made for
};
int session_on_new(SSL *ssl, SSL_SESSION *session); // OpenSSL's callback
void session_offer(struct tls_conn *conn, const struct tls_session *session);
