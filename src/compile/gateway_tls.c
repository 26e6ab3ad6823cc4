// SPDX-License-Identifier: Apache-2.0
#include "compile/gateway_tls.h"
#include "compile/certificate.h"
#include "compile/gateway_l4.h"

struct server_reading { // of one server's `tls`
    struct compiler *c;
    const struct object *object;
    const struct gateway_server *server;
    uint32_t index;
    struct server_tls tls;
};

static struct credential_user user_at(const struct server_reading *r, uint32_t line, uint32_t col,
                                      const char *field)
{
    return (struct credential_user){r->object, line, col,
                                    path_of(r->c, "spec.servers[%u].tls.%s", r->index, field)};
}

bool gateway_tls_is_served(struct compiler *c, const struct object *object, uint32_t index)
{
    const struct gateway_server *server = &object->gateway->servers[index];
    const char *word = NULL;
    switch (server->tls_mode) {
    case TLS_SIMPLE:
    case TLS_MUTUAL:
    case TLS_OPTIONAL_MUTUAL:
    case TLS_PASSTHROUGH:
        return true;
    case TLS_AUTO_PASSTHROUGH:
        word = "AUTO_PASSTHROUGH";
        break;
    case TLS_ISTIO_MUTUAL:
        word = "ISTIO_MUTUAL";
        break;
    }
    complain(c, DIAG_TLS_NOT_SERVED, object, server->tls_line, server->tls_col,
             path_of(c, "spec.servers[%u].tls.mode", index),
             "%s is not served; port %u is not opened for it", word, (unsigned)server->port.value);
    return false;
}

// ---- certificates ----

static bool add_secret(struct server_reading *r, const struct text *name, const char *field)
{
    struct credential_user user = user_at(r, name->line, name->col, field);
    struct credential *credential =
        credential_require(r->c, &user, r->c->options->ns, text_str(*name));
    if (credential && r->tls.n_credentials < CREDENTIALS_MAX)
        r->tls.credentials[r->tls.n_credentials++] = credential;
    return credential != NULL;
}

static bool read_file(struct server_reading *r, const struct text *path, const char *field,
                      struct material *ret)
{
    struct credential_user user = user_at(r, path->line, path->col, field);
    return credential_read_file(r->c, &user, text_str(*path), ret);
}

static bool add_files(struct server_reading *r, const struct gateway_files *files,
                      const char *prefix)
{
    struct compiler *c = r->c;
    struct credential *credential = ARENA_NEW(c->scratch, struct credential);
    struct str base = str_of(prefix);
    struct str certificate = JOIN(c->scratch, base, STR("serverCertificate"));
    struct str key = JOIN(c->scratch, base, STR("privateKey"));
    bool is_read = read_file(r, &files->certificate, certificate.ptr, &credential->certificate);
    is_read &= read_file(r, &files->key, key.ptr, &credential->key);
    if (is_read && r->tls.n_credentials < CREDENTIALS_MAX)
        r->tls.credentials[r->tls.n_credentials++] = credential;
    return is_read;
}

static bool add_certificates(struct server_reading *r)
{
    const struct gateway_server *server = r->server;
    bool is_right = true;
    if (server->credential_name.len > 0)
        return add_secret(r, &server->credential_name, "credentialName");
    for (uint32_t i = 0; i < server->credential_names.n; i++) {
        struct str field = path_of(r->c, "credentialNames[%u]", i);
        is_right &= add_secret(r, &server->credential_names.items[i], field.ptr);
    }
    for (uint32_t i = 0; i < server->n_certificates; i++) {
        struct str prefix = path_of(r->c, "tlsCertificates[%u].", i);
        is_right &= add_files(r, &server->certificates[i], prefix.ptr);
    }
    if (server->files.certificate.len > 0)
        is_right &= add_files(r, &server->files, "");
    // One of two is better than none.
    return is_right || r->tls.n_credentials > 0;
}

// ---- client certificates ----

// Istio: Secret <name>-cacert, else the Secret itself.
static bool add_secret_authorities(struct server_reading *r, const struct text *name,
                                   const char *field)
{
    struct compiler *c = r->c;
    struct str ns = c->options->ns, own = text_str(*name);
    struct str beside = JOIN(c->scratch, own, STR("-cacert"));
    struct credential_user user = user_at(r, name->line, name->col, field);
    bool has_beside = store_find(c->store, KIND_SECRET, ns, beside) != NULL;
    return credential_require_ca(c, &user, ns, has_beside ? beside : own, &r->tls.ca, &r->tls.crl);
}

static bool add_authorities(struct server_reading *r)
{
    const struct gateway_server *server = r->server;
    const struct text *file = &server->files.ca;
    for (uint32_t i = 0; i < server->n_certificates && file->len == 0; i++)
        file = &server->certificates[i].ca;
    bool is_right = true;
    if (server->ca_credential_name.len > 0) {
        const struct text *name = &server->ca_credential_name;
        struct credential_user user = user_at(r, name->line, name->col, "caCertCredentialName");
        is_right = credential_require_ca(r->c, &user, r->c->options->ns, text_str(*name),
                                         &r->tls.ca, &r->tls.crl);
    } else if (file->len > 0) {
        is_right = read_file(r, file, "caCertificates", &r->tls.ca);
    } else if (server->credential_name.len > 0) {
        is_right = add_secret_authorities(r, &server->credential_name, "credentialName");
    } else if (server->credential_names.n > 0) {
        is_right =
            add_secret_authorities(r, &server->credential_names.items[0], "credentialNames[0]");
    } else {
        complain(r->c, DIAG_FIELD_REQUIRED, r->object, server->tls_line, server->tls_col,
                 path_of(r->c, "spec.servers[%u].tls.caCertificates", r->index),
                 "%s TLS requires a client CA bundle",
                 server->tls_mode == TLS_MUTUAL ? "MUTUAL" : "OPTIONAL_MUTUAL");
        is_right = false;
    }
    if (is_right && server->ca_crl.len > 0)
        is_right = read_file(r, &server->ca_crl, "caCrl", &r->tls.crl);
    return is_right;
}

// ---- the other settings ----

static const struct str *strings(struct compiler *c, const struct texts *texts)
{
    struct str *items = ARENA_ARRAY(c->scratch, struct str, texts->n + 1);
    for (uint32_t i = 0; i < texts->n; i++)
        items[i] = text_str(texts->items[i]);
    return items;
}

static uint16_t version_number(enum tls_protocol version)
{
    static const uint16_t numbers[] = {
        [TLS_PROTOCOL_AUTO] = 0,     [TLSV1_0] = TLS_VERSION_1_0, [TLSV1_1] = TLS_VERSION_1_1,
        [TLSV1_2] = TLS_VERSION_1_2, [TLSV1_3] = TLS_VERSION_1_3,
    };
    return numbers[version];
}

static struct str cipher_list(struct compiler *c, const struct texts *suites)
{
    struct str list = STR_NONE;
    for (uint32_t i = 0; i < suites->n; i++) {
        struct str suite = text_str(suites->items[i]);
        bool is_again = false;
        for (uint32_t k = 0; k < i; k++)
            is_again |= str_equal(suite, text_str(suites->items[k]));
        if (!is_again && cipher_suite_is_known(suite))
            list = JOIN(c->scratch, list, list.len > 0 ? STR(":") : STR_NONE, suite);
    }
    return list;
}

static void read_settings(struct server_reading *r, struct str identity, bool is_http)
{
    const struct gateway_server *server = r->server;
    struct tls_server_config *config = &r->tls.config;
    config->identity = identity;
    config->has_alpn = config->offers_h2 = is_http;
    config->common = (struct tls_common){
        .version_min = version_number(server->version_min),
        .version_max = version_number(server->version_max),
        .ciphers = cipher_list(r->c, &server->cipher_suites),
    };
    if (server->tls_mode == TLS_SIMPLE)
        return;
    config->client_auth =
        server->tls_mode == TLS_MUTUAL ? TLS_CLIENT_REQUIRED : TLS_CLIENT_OPTIONAL;
    config->common.subject_alt_names = strings(r->c, &server->subject_alt_names);
    config->common.n_subject_alt_names = server->subject_alt_names.n;
    config->common.spki_hashes = strings(r->c, &server->spki_hashes);
    config->common.n_spki_hashes = server->spki_hashes.n;
    config->common.certificate_hashes = strings(r->c, &server->certificate_hashes);
    config->common.n_certificate_hashes = server->certificate_hashes.n;
}

// ---- the chain ----

static bool fill_in(struct server_reading *r, struct filter_chain *chain)
{
    bool is_right = add_certificates(r);
    if (r->server->tls_mode != TLS_SIMPLE)
        is_right &= add_authorities(r);
    read_settings(r, chain->name, chain->is_http);
    return is_right && server_tls_open(r->c, &r->tls, chain);
}

// The caller has made sure that no other server of the listener has one of these names.
static void add_names(struct server_reading *r, struct builder_chain *chain, bool is_open)
{
    struct compiler *c = r->c;
    for (uint32_t i = 0; i < r->server->hosts.n; i++) {
        const struct text *text = &r->server->hosts.items[i];
        struct str ns, name;
        server_host_split(c, text_str(*text), r->object->ns, &ns, &name);
        struct credential_user user = {r->object, text->line, text->col,
                                       path_of(c, "spec.servers[%u].hosts[%u]", r->index, i)};
        bool is_again = builder_chain_add_name(chain, name, false) != NULL;
        if (is_open && !is_again)
            server_tls_check_host(c, &r->tls, &user, name);
    }
}

struct builder_chain *gateway_tls_chain(struct compiler *c, const struct object *object,
                                        uint32_t index, struct builder_listener *listener,
                                        struct builder_hosts *hosts)
{
    const struct gateway_server *server = &object->gateway->servers[index];
    struct server_reading r = {.c = c, .object = object, .server = server, .index = index};
    r.tls.user = (struct credential_user){object, server->tls_line, server->tls_col,
                                          path_of(c, "spec.servers[%u].tls", index)};
    r.tls.otherwise = "are not served";
    char port[NUMBER_TEXT_MAX];
    struct filter_chain chain = {
        .name = JOIN(c->arena, hosts ? STR("https.") : STR("tls."),
                     number_text((uint64_t)server->port.value, port), STR("."),
                     text_str(server->port_name), STR("."), object->name, STR("."), object->ns),
        .is_http = hosts != NULL,
        .origin = origin_of(c, object, server->line, server->col),
    };
    bool is_open = fill_in(&r, &chain);
    if (chain.client_auth != TLS_CLIENT_NONE)
        chain.client_cert_forward = CLIENT_CERT_SET;
    struct builder_chain *made = NULL;
    if (is_open) {
        made = builder_chain(listener, &chain, hosts);
        add_names(&r, made, true);
        return made;
    }
    // Without TCP routes it closes connections; what routes there will be go to one without names,
    // which nobody reaches.
    chain.is_http = false;
    add_names(&r, builder_chain(listener, &chain, NULL), false);
    return hosts ? NULL : builder_chain(listener, &chain, NULL);
}
