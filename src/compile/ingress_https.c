// SPDX-License-Identifier: Apache-2.0
#include "compile/ingress_https.h"
#include "compile/certificate.h"
#include "compile/hosts.h"

struct ingress_certificate { // who brings a host's certificate
    const struct ingress_entry *ingress;
    struct credential_user user, host_user;
    struct str secret;             // empty: the default certificate
    struct credential *credential; // of the Secret; NULL: not looked up, or it cannot be had
    bool is_looked_up;
};

void ingress_https_init(struct ingress_https *tls, struct compiler *c)
{
    *tls = (struct ingress_https){.c = c, .certificates = map_create(), .chains = map_create()};
}

void ingress_https_fini(struct ingress_https *tls)
{
    map_destroy(tls->certificates);
    map_destroy(tls->chains);
}

// ---- collecting ----

static bool is_same_secret(const struct ingress_certificate *a, const struct ingress_certificate *b)
{
    return str_equal(a->secret, b->secret) &&
           (a->secret.len == 0 || str_equal(a->ingress->object->ns, b->ingress->object->ns));
}

static void add_host(struct ingress_https *tls, const struct ingress_certificate *from,
                     const struct text *text, struct str path)
{
    struct compiler *c = tls->c;
    struct str name = host_lower(c->scratch, text_str(*text));
    const struct ingress_certificate *taken = map_find(tls->certificates, name);
    if (taken) {
        if (!is_same_secret(taken, from))
            complain(c, DIAG_TLS_HOST_TAKEN, from->ingress->object, text->line, text->col, path,
                     "the certificate of \"%.*s\" is that of %.*s", STR_ARG(name),
                     STR_ARG(place_text(c, taken->ingress->object, taken->host_user.line,
                                        taken->host_user.col)));
        return;
    }
    struct ingress_certificate *certificate = arena_copy(c->scratch, from, sizeof(*certificate));
    certificate->host_user =
        (struct credential_user){from->ingress->object, text->line, text->col, path};
    map_put(tls->certificates, name, certificate);
}

void ingress_https_add(struct ingress_https *tls, const struct ingress_entry *entry)
{
    struct compiler *c = tls->c;
    const struct object *object = entry->object;
    const struct ingress *ingress = object->ingress;
    for (uint32_t i = 0; i < ingress->n_tls; i++) {
        const struct ingress_tls *section = &ingress->tls[i];
        struct str path = path_item(c, STR("spec"), "tls", i);
        const struct text *secret = &section->secret_name;
        struct ingress_certificate certificate = {
            .ingress = entry,
            .secret = text_str(*secret),
            .user = {object, secret->ptr ? secret->line : section->line,
                     secret->ptr ? secret->col : section->col,
                     JOIN(c->scratch, path, secret->ptr ? STR(".secretName") : STR_NONE)}};
        for (uint32_t k = 0; k < section->hosts.n; k++)
            add_host(tls, &certificate, &section->hosts.items[k], path_item(c, path, "hosts", k));
        // Without hosts it is for all of the Ingress.
        for (uint32_t k = 0; section->hosts.n == 0 && k < ingress->n_rules; k++) {
            if (ingress->rules[k].host.len > 0)
                add_host(tls, &certificate, &ingress->rules[k].host, path);
        }
    }
    const struct ingress_settings *settings = &entry->settings;
    tls->has_client_auth |=
        settings->client_secret.len > 0 && settings->client_auth != TLS_CLIENT_NONE;
    tls->has_passthrough |= settings->ssl_passthrough;
}

static struct ingress_certificate *find_certificate(const struct ingress_https *tls,
                                                    struct str name)
{
    struct ingress_certificate *found = map_find(tls->certificates, name);
    ptrdiff_t dot = str_index(name, '.');
    if (found || dot <= 0 || host_is_wildcard(name) || map_count(tls->certificates) == 0)
        return found;
    return map_find(tls->certificates, JOIN_BRIEF(tls->c, STR("*"), str_from(name, (size_t)dot)));
}

// ---- chains ----

static struct tls_server_config config_for(struct compiler *c, const struct credential *credential)
{
    return (struct tls_server_config){
        .has_alpn = true,
        .offers_h2 = true,
        .identity = JOIN(c->scratch, STR("ingress "), credential->certificate.source)};
}

// The chain of that context and those headers; names are added to it.
static struct builder_chain *chain_for(struct ingress_https *tls, const struct filter_chain *chain)
{
    struct compiler *c = tls->c;
    char bytes[sizeof(chain->tls) + 2];
    char *at = mempcpy(bytes, &chain->tls, sizeof(chain->tls));
    *at++ = (char)chain->passes_ingress_cert;
    *at++ = (char)chain->client_cert_pem;
    struct str key = {bytes, sizeof(bytes)};
    struct builder_chain *made = map_find(tls->chains, key);
    if (made)
        return made;
    made = builder_chain(tls->listener, chain, tls->hosts);
    map_put(tls->chains, (struct str){arena_copy(c->scratch, bytes, sizeof(bytes)), key.len}, made);
    return made;
}

static void add_name(struct ingress_https *tls, struct builder_chain *chain, struct str name,
                     const struct credential_user *user)
{
    struct compiler *c = tls->c;
    bool is_wildcard = host_is_wildcard(name) && !str_is(name, "*");
    const struct builder_chain *taken = builder_chain_add_name(chain, name, is_wildcard);
    if (taken && taken != chain)
        complain(c, DIAG_TLS_HOST_TAKEN, user->object, user->line, user->col, user->path,
                 "\"%.*s\" on port %u is that of %.*s", STR_ARG(name),
                 (unsigned)c->options->https_port, STR_ARG(builder_chain_facts(taken)->origin));
}

static struct filter_chain facts_of(struct compiler *c, const struct credential *credential,
                                    const struct credential_user *user)
{
    return (struct filter_chain){
        .name = JOIN(c->arena, STR("ingress "), credential->certificate.source),
        .is_http = true,
        .origin = origin_of(c, user->object, user->line, user->col)};
}

// ---- the default certificate ----

static struct credential *named_fallback(struct compiler *c, const struct credential_user *user)
{
    struct str reference = c->options->default_certificate;
    ptrdiff_t slash = str_index(reference, '/');
    if (reference.len == 0)
        return NULL;
    return credential_require(c, user, str_upto(reference, (size_t)slash),
                              str_from(reference, (size_t)slash + 1));
}

static struct credential *self_signed(struct compiler *c)
{
    struct credential *credential = ARENA_NEW(c->scratch, struct credential);
    builder_self_signed(c->builder, &credential->certificate.text, &credential->key.text);
    credential->certificate.source = STR("self-signed");
    credential->is_our_own = true;
    return credential;
}

// The chain of all names that have no other.
static void open_fallback(struct ingress_https *tls, const struct object *first)
{
    struct compiler *c = tls->c;
    struct credential_user user = {first, first->name_line, first->name_col,
                                   STR("--default-ssl-certificate")};
    struct credential *candidates[] = {named_fallback(c, &user), self_signed(c)};
    for (size_t i = 0; i < 2; i++) {
        if (!candidates[i])
            continue;
        struct filter_chain chain = facts_of(c, candidates[i], &user);
        struct server_tls server = {.credentials = {candidates[i]},
                                    .n_credentials = 1,
                                    .config = config_for(c, candidates[i]),
                                    .user = user,
                                    .otherwise = "have a self-signed certificate"};
        if (!server_tls_open(c, &server, &chain))
            continue;
        tls->fallback = candidates[i];
        add_name(tls, chain_for(tls, &chain), STR("*"), &user);
        return;
    }
}

void ingress_https_open(struct ingress_https *tls, const struct object *first)
{
    struct compiler *c = tls->c;
    const struct compile_options *options = c->options;
    if (map_count(tls->certificates) == 0 && options->default_certificate.len == 0 &&
        !tls->has_client_auth && !tls->has_passthrough)
        return;
    struct address bind = listen_address(c, &options->bind, options->https_port);
    tls->listener = builder_listener(c->builder, LISTENER_TLS, &bind, options->https_port,
                                     origin_of(c, first, first->name_line, first->name_col));
    if (!tls->listener) {
        complain(c, DIAG_LISTENER_CONFLICT, first, first->name_line, first->name_col, STR_NONE,
                 "port %u is that of a Gateway and not for TLS, so no Ingress is served over HTTPS",
                 (unsigned)options->https_port);
        return;
    }
    tls->hosts = builder_hosts(c->builder);
    open_fallback(tls, first);
}

// ---- hosts ----

static struct credential *credential_of(struct ingress_https *tls,
                                        struct ingress_certificate *certificate)
{
    if (!certificate)
        return tls->fallback;
    if (certificate->secret.len > 0 && !certificate->is_looked_up)
        certificate->credential = credential_require(
            tls->c, &certificate->user, certificate->ingress->object->ns, certificate->secret);
    certificate->is_looked_up = true;
    struct credential *credential = certificate->credential;
    return credential && !credential->is_told ? credential : tls->fallback;
}

static struct credential_user annotation_user(struct compiler *c, const struct object *object,
                                              const char *key)
{
    const struct text *text = ingress_annotation(object, key);
    return (struct credential_user){
        object, text->line, text->col,
        path_of(c, "metadata.annotations[nginx.ingress.kubernetes.io/%s]", key)};
}

// false: the Secret with the authorities cannot be had: nobody is let in (403).
static bool add_client_auth(struct ingress_https *tls, const struct ingress_entry *ingress,
                            struct server_tls *server, struct filter_chain *chain)
{
    struct compiler *c = tls->c;
    const struct ingress_settings *settings = &ingress->settings;
    const struct object *object = ingress->object;
    struct credential_user user = annotation_user(c, object, "auth-tls-secret");
    struct str ns = object->ns, name = settings->client_secret;
    ptrdiff_t slash = str_index(name, '/');
    if (slash >= 0) {
        ns = str_upto(name, (size_t)slash);
        name = str_from(name, (size_t)slash + 1);
    }
    if (!str_equal(ns, object->ns)) {
        complain(c, DIAG_SECRET_KEYS, object, user.line, user.col, user.path,
                 "cross namespace secrets are not supported: \"%.*s\" is not in %.*s; requests are "
                 "answered 403",
                 STR_ARG(settings->client_secret), STR_ARG(object->ns));
        return false;
    }
    if (!credential_require_ca(c, &user, ns, name, &server->ca, &server->crl))
        return false;
    server->user = user;
    server->config.client_auth = settings->client_auth;
    server->config.common.verify_depth = settings->client_depth;
    chain->passes_ingress_cert = true;
    chain->client_cert_pem = settings->passes_client_cert;
    return true;
}

// A host's chain; NULL: the certificate cannot be used, which is reported.
static struct builder_chain *open_chain(struct ingress_https *tls, struct ingress_host *host,
                                        struct credential *credential,
                                        const struct credential_user *user)
{
    struct compiler *c = tls->c;
    struct filter_chain chain = facts_of(c, credential, user);
    struct server_tls server = {.credentials = {credential},
                                .n_credentials = 1,
                                .config = config_for(c, credential),
                                .user = *user,
                                .otherwise = "have the default certificate",
                                .otherwise_trust = "are answered 403"};
    if (host && host->ciphers) {
        const struct ingress_entry *ingress = host->ciphers;
        server.config.common.ciphers = ingress->settings.ciphers;
        server.cipher_user = annotation_user(c, ingress->object, "ssl-ciphers");
    }
    if (host && host->client_auth && !host->is_forbidden)
        host->is_forbidden = !add_client_auth(tls, host->client_auth, &server, &chain);
    if (!server_tls_open(c, &server, &chain)) {
        bool is_of_client = server.is_trust_broken;
        if (is_of_client)
            host->is_forbidden = true;
        return is_of_client ? open_chain(tls, host, credential, user) : NULL;
    }
    return chain_for(tls, &chain);
}

static struct builder_chain *chain_of_host(struct ingress_https *tls, struct ingress_host *host,
                                           struct ingress_certificate *certificate,
                                           const struct credential_user *user)
{
    struct credential *credential = credential_of(tls, certificate);
    struct builder_chain *chain =
        credential ? open_chain(tls, host, credential, certificate ? &certificate->user : user)
                   : NULL;
    if (!chain && tls->fallback && credential != tls->fallback)
        chain = open_chain(tls, host, tls->fallback, user);
    return chain;
}

static void check_cover(struct ingress_https *tls, struct ingress_certificate *certificate,
                        struct str name)
{
    struct compiler *c = tls->c;
    struct credential *credential = credential_of(tls, certificate);
    if (!credential || credential == tls->fallback || credential->is_told)
        return;
    const struct server_tls server = {.credentials = {credential}, .n_credentials = 1};
    server_tls_check_host(c, &server, &certificate->host_user, name);
}

void ingress_https_host(struct ingress_https *tls, struct ingress_host *host)
{
    struct ingress_certificate *own = map_find(tls->certificates, host->name);
    struct ingress_certificate *certificate = find_certificate(tls, host->name);
    host->has_certificate = certificate != NULL;
    if (!tls->hosts) {
        host->is_forbidden = host->client_auth != NULL; // reported: the port is somebody else's
        return;
    }
    if (host->passthrough && ingress_passthrough(tls, host))
        return;
    // What has no settings of its own follows the wildcard or the default.
    if (!own && !host->client_auth && !host->ciphers)
        return;
    struct credential_user user = {host->owner, host->line, host->col, STR("spec.rules")};
    struct builder_chain *chain = chain_of_host(tls, host, certificate, &user);
    if (!chain)
        return;
    add_name(tls, chain, host->name, own ? &own->host_user : &user);
    if (host->www_name.len > 0 && !map_find(tls->certificates, host->www_name)) {
        add_name(tls, chain, host->www_name, &user);
        if (own)
            check_cover(tls, own, host->www_name);
    }
    for (const struct ingress_alias *alias = host->aliases; alias; alias = alias->next) {
        // An alias that is refused (reported) is none; a host keeps its own.
        if (alias->is_served && !map_find(tls->certificates, alias->name))
            add_name(tls, chain, alias->name, &user);
    }
    if (own)
        check_cover(tls, own, host->name);
}

void ingress_https_rest(struct ingress_https *tls, const struct map *hosts)
{
    struct str name;
    void *value = NULL;
    for (size_t i = 0; tls->hosts && map_next(tls->certificates, &i, &name, &value);) {
        struct ingress_certificate *certificate = value;
        if (map_find(hosts, name))
            continue;
        struct builder_chain *chain =
            chain_of_host(tls, NULL, certificate, &certificate->host_user);
        if (chain)
            add_name(tls, chain, name, &certificate->host_user);
        check_cover(tls, certificate, name);
    }
}
