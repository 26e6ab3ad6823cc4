// SPDX-License-Identifier: Apache-2.0
// Certificates, keys and authorities out of Secrets and files, and TLS contexts made of them.
// Control thread; everything lives for the compile.
//
// What is wrong with a text is told at the Secret that holds it (or at the field that names the
// file), once; what is missing is told where it is asked for.
#pragma once
#include "compile/context.h"

// A text with what messages about it say.
struct material {
    struct str text;             // PEM, a staple DER; empty: not given
    const struct object *object; // a Secret, or who names the file
    uint32_t line, col;
    struct str path;   // "data[tls.crt]", "spec.servers[0].tls.privateKey"
    struct str source; // "Secret default/shop", "file /etc/certs/tls.crt"
};
struct credential {
    struct material certificate, key, staple;
    struct material ca, crl;
    bool is_told;    // that it cannot be used
    bool is_our_own; // self-signed at the start: its times are no facts of the configuration
    bool is_told_time;
};

// Who asks, for messages.
struct credential_user {
    const struct object *object;
    uint32_t line, col;
    struct str path;
};

// What a Secret holds; texts that it has not are empty. NULL: there is no such Secret.
struct credential *credential_find(struct compiler *c, struct str ns, struct str name);
// The same, and complains about a missing Secret (secret-missing), or about one without certificate
// and key (secret-keys): NULL then, too.
struct credential *credential_require(struct compiler *c, const struct credential_user *user,
                                      struct str ns, struct str name);
// A Secret's authorities: `ca.crt` or `cacert`. false: reported.
bool credential_require_ca(struct compiler *c, const struct credential_user *user, struct str ns,
                           struct str name, struct material *ret_ca, struct material *ret_crl);
// A file. false: reported.
bool credential_read_file(struct compiler *c, const struct credential_user *user, struct str path,
                          struct material *ret);

// A server's side of TLS; `config` without its pairs, and authorities without texts: they are here.
enum { CREDENTIALS_MAX = 2 };
struct server_tls {
    struct credential *credentials[CREDENTIALS_MAX];
    size_t n_credentials;
    struct material ca, crl;
    struct tls_server_config config;
    struct credential_user user;        // for what is wrong with other settings
    struct credential_user cipher_user; // of the cipher list, which can be done without; or unset
    const char *otherwise;       // what becomes of its hosts, for the message: "are not served"
    const char *otherwise_trust; // the same when authorities cannot be used; NULL: as above
    bool is_trust_broken;        // set when they cannot
};
// Fills in the TLS parts of `chain`. false: reported, the chain has no context.
bool server_tls_open(struct compiler *c, struct server_tls *tls, struct filter_chain *chain);
// Reports that a certificate of the server is not for `host` unless one is.
void server_tls_check_host(struct compiler *c, const struct server_tls *tls,
                           const struct credential_user *user, struct str host);

// Reports what is wrong with a Secret for itself.
void secret_check(struct compiler *c, const struct object *object);
