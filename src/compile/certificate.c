// SPDX-License-Identifier: Apache-2.0
#include "compile/certificate.h"
#include "base/clock.h"
#include "source/text_files.h"
#include <stdio.h>
#include <time.h>

// ---- Secrets ----

static struct material material_of(struct compiler *c, const struct object *object,
                                   const char *const *keys)
{
    for (; *keys; keys++) {
        const struct text_pair *pair = secret_find(object->secret, *keys);
        if (!pair || pair->value.len == 0)
            continue;
        return (struct material){.text = text_str(pair->value),
                                 .object = object,
                                 .line = pair->key.line,
                                 .col = pair->key.col,
                                 .path = path_of(c, "data[%s]", *keys),
                                 .source = object->title};
    }
    return (struct material){0};
}

static const char *const certificate_keys[] = {"tls.crt", "cert", NULL};
static const char *const key_keys[] = {"tls.key", "key", NULL};
static const char *const ca_keys[] = {"ca.crt", "cacert", NULL};
static const char *const crl_keys[] = {"ca.crl", "crl", NULL};
static const char *const staple_keys[] = {"tls.ocsp-staple", NULL};

static struct credential *read_secret(struct compiler *c, const struct object *object)
{
    struct credential *credential = ARENA_NEW(c->scratch, struct credential);
    *credential = (struct credential){.certificate = material_of(c, object, certificate_keys),
                                      .key = material_of(c, object, key_keys),
                                      .staple = material_of(c, object, staple_keys),
                                      .ca = material_of(c, object, ca_keys),
                                      .crl = material_of(c, object, crl_keys)};
    return credential;
}

struct credential *credential_find(struct compiler *c, struct str ns, struct str name)
{
    struct credential *credential = map_find(c->credentials, JOIN_BRIEF(c, ns, STR("/"), name));
    if (credential)
        return credential;
    const struct object *object = store_find(c->store, KIND_SECRET, ns, name);
    if (!object)
        return NULL;
    credential = read_secret(c, object);
    map_put(c->credentials, str_from(object->title, sizeof("Secret ") - 1), credential);
    return credential;
}

static const struct object *find_secret(struct compiler *c, const struct credential_user *user,
                                        struct str ns, struct str name)
{
    const struct object *secret = store_find(c->store, KIND_SECRET, ns, name);
    if (secret)
        return secret;
    struct diag *diag =
        complain(c, DIAG_SECRET_MISSING, user->object, user->line, user->col, user->path,
                 "no Secret %.*s/%.*s exists", STR_ARG(ns), STR_ARG(name));
    hint_object(c, diag, KIND_SECRET, ns, name, NULL);
    return NULL;
}

struct credential *credential_require(struct compiler *c, const struct credential_user *user,
                                      struct str ns, struct str name)
{
    const struct object *secret = find_secret(c, user, ns, name);
    if (!secret)
        return NULL;
    struct credential *credential = credential_find(c, ns, name);
    bool has_certificate = credential->certificate.text.len > 0;
    if (has_certificate && credential->key.text.len > 0)
        return credential;
    bool has_type = secret->secret->type.len > 0;
    complain(c, DIAG_SECRET_KEYS, user->object, user->line, user->col, user->path,
             "%.*s (type %s) has no %s",
             STR_ARG(place_text(c, secret, secret->name_line, secret->name_col)),
             has_type ? secret->secret->type.ptr : "Opaque",
             has_certificate ? "tls.key" : "tls.crt");
    return NULL;
}

bool credential_require_ca(struct compiler *c, const struct credential_user *user, struct str ns,
                           struct str name, struct material *ret_ca, struct material *ret_crl)
{
    const struct object *secret = find_secret(c, user, ns, name);
    if (!secret)
        return false;
    const struct credential *credential = credential_find(c, ns, name);
    if (credential->ca.text.len == 0) {
        complain(c, DIAG_SECRET_KEYS, user->object, user->line, user->col, user->path,
                 "%.*s has no ca.crt",
                 STR_ARG(place_text(c, secret, secret->name_line, secret->name_col)));
        return false;
    }
    *ret_ca = credential->ca;
    *ret_crl = credential->crl;
    return true;
}

// ---- files ----

bool credential_read_file(struct compiler *c, const struct credential_user *user, struct str path,
                          struct material *ret)
{
    struct str text;
    const char *why = text_files_read(store_files(c->store), path, &text);
    *ret = (struct material){.text = text,
                             .object = user->object,
                             .line = user->line,
                             .col = user->col,
                             .path = user->path,
                             .source = JOIN(c->scratch, STR("file "), path)};
    if (!why && text.len == 0)
        why = "is empty";
    if (why)
        complain(c, DIAG_FILE_UNREADABLE, user->object, user->line, user->col, user->path,
                 "%.*s: %s", STR_ARG(path), why);
    return !why;
}

// ---- contexts ----

static void complain_material(struct compiler *c, enum diag_code code,
                              const struct material *material, const char *message)
{
    complain(c, code, material->object, material->line, material->col, material->path, "%s",
             message);
}

static const struct material *culprit(const struct server_tls *tls, const struct tls_error *error)
{
    const struct credential *credential =
        error->pair < tls->n_credentials ? tls->credentials[error->pair] : NULL;
    switch (error->part) {
    case TLS_PART_CERTIFICATE:
        return credential ? &credential->certificate : NULL;
    case TLS_PART_KEY:
    case TLS_PART_MISMATCH:
        return credential ? &credential->key : NULL;
    case TLS_PART_OCSP:
        return credential ? &credential->staple : NULL;
    case TLS_PART_CA:
        return &tls->ca;
    case TLS_PART_CRL:
        return &tls->crl;
    case TLS_PART_NONE:
    case TLS_PART_CIPHERS:
    case TLS_PART_CURVES:
    case TLS_PART_VERSIONS:
    case TLS_PART_SPKI:
    case TLS_PART_HASH:
        break;
    }
    return NULL;
}

static void report_failure(struct compiler *c, const struct server_tls *tls,
                           const struct tls_error *error)
{
    const struct material *material = culprit(tls, error);
    if (!material || !material->object) {
        complain(c, DIAG_FIELD_VALUE, tls->user.object, tls->user.line, tls->user.col,
                 tls->user.path, "%s%s%s", error->message, tls->otherwise ? "; its hosts " : "",
                 tls->otherwise ? tls->otherwise : "");
        return;
    }
    bool is_of_pair = error->part != TLS_PART_CA && error->part != TLS_PART_CRL;
    if (is_of_pair && tls->credentials[error->pair]->is_told)
        return;
    if (is_of_pair && error->part != TLS_PART_OCSP)
        tls->credentials[error->pair]->is_told = true;
    const char *otherwise =
        !is_of_pair && tls->otherwise_trust ? tls->otherwise_trust : tls->otherwise;
    char message[512];
    int len = snprintf(message, sizeof(message), "%s", error->message);
    if (otherwise && material->object == tls->user.object)
        snprintf(message + len, sizeof(message) - (size_t)len, "; its hosts %s", otherwise);
    else if (otherwise)
        snprintf(message + len, sizeof(message) - (size_t)len, "; the hosts of %.*s %s",
                 STR_ARG(place_text(c, tls->user.object, tls->user.line, tls->user.col)),
                 otherwise);
    complain_material(c, DIAG_CERTIFICATE_INVALID, material, message);
}

static void time_text(int64_t seconds, char out[32])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&time, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = 0;
}

static void check_time(struct compiler *c, struct credential *credential,
                       const struct certificate_look *look)
{
    int64_t now_s = clock_wall_ns() / 1000000000;
    bool has_expired = now_s > look->not_after_s;
    if (credential->is_told_time || (!has_expired && now_s >= look->not_before_s))
        return;
    credential->is_told_time = true;
    char when[32], message[400];
    time_text(has_expired ? look->not_after_s : look->not_before_s, when);
    snprintf(message, sizeof(message), "%s %s (%.*s)",
             has_expired ? "expired at" : "is not valid before", when, STR_ARG(look->subject));
    complain_material(c, DIAG_CERTIFICATE_TIME, &credential->certificate, message);
}

static void add_facts(struct compiler *c, const struct server_tls *tls, struct filter_chain *chain)
{
    struct certificate *certificates =
        ARENA_ARRAY(c->arena, struct certificate, tls->n_credentials);
    for (size_t i = 0; i < tls->n_credentials; i++) {
        struct credential *credential = tls->credentials[i];
        const struct certificate_look *look =
            builder_certificate(c->builder, credential->certificate.text, STR_NONE);
        certificates[i] = (struct certificate){
            .source = arena_str(c->arena, credential->certificate.source),
            .subject = look->subject, // the registry's, as long as the snapshot
            .key_type = look->key_type};
        if (credential->is_our_own)
            continue;
        certificates[i].not_before_s = look->not_before_s;
        certificates[i].not_after_s = look->not_after_s;
        check_time(c, credential, look);
    }
    chain->certificates = certificates;
    chain->n_certificates = (uint16_t)tls->n_credentials;
}

// What the server can do without is left out, and reported.
static bool is_dispensable(struct compiler *c, struct server_tls *tls,
                           const struct tls_error *error)
{
    if (error->part == TLS_PART_OCSP && error->pair < tls->n_credentials) {
        const char *otherwise = tls->otherwise;
        tls->otherwise = NULL;
        report_failure(c, tls, error);
        tls->otherwise = otherwise;
        tls->credentials[error->pair]->staple.text = STR_NONE;
        return true;
    }
    if (error->part == TLS_PART_CIPHERS && tls->cipher_user.object) {
        const struct credential_user *user = &tls->cipher_user;
        complain(c, DIAG_ANNOTATION_VALUE, user->object, user->line, user->col, user->path,
                 "%s; the default ciphers are used", error->message);
        tls->cipher_user.object = NULL;
        tls->config.common.ciphers = STR_NONE;
        return true;
    }
    return false;
}

bool server_tls_open(struct compiler *c, struct server_tls *tls, struct filter_chain *chain)
{
    struct tls_pair pairs[CREDENTIALS_MAX];
    for (size_t i = 0; i < tls->n_credentials; i++) {
        const struct credential *credential = tls->credentials[i];
        pairs[i] = (struct tls_pair){.certificate_pem = credential->certificate.text,
                                     .key_pem = credential->key.text,
                                     .ocsp_der = credential->staple.text};
    }
    struct tls_server_config config = tls->config;
    config.pairs = pairs;
    config.n_pairs = tls->n_credentials;
    config.common.ca_pem = tls->ca.text;
    config.common.crl_pem = tls->crl.text;
    config.common.curves = c->options->tls_curves;
    if (config.common.ciphers.len == 0)
        config.common.ciphers = c->options->tls_ciphers;
    // Not above what the server itself allows at most.
    uint16_t lowest = c->options->tls_version_min, highest = config.common.version_max;
    if (config.common.version_min == 0)
        config.common.version_min = highest && highest < lowest ? highest : lowest;
    struct tls_error error = {0};
    struct tls_context *context = builder_tls_server(c->builder, &config, &error);
    if (!context && is_dispensable(c, tls, &error))
        return server_tls_open(c, tls, chain);
    if (!context) {
        tls->is_trust_broken = error.part == TLS_PART_CA || error.part == TLS_PART_CRL;
        report_failure(c, tls, &error);
        return false;
    }
    chain->tls = context;
    chain->client_auth = (uint8_t)config.client_auth;
    add_facts(c, tls, chain);
    return true;
}

void server_tls_check_host(struct compiler *c, const struct server_tls *tls,
                           const struct credential_user *user, struct str host)
{
    if (str_is(host, "*") || tls->n_credentials == 0)
        return;
    const struct certificate_look *look = NULL;
    for (size_t i = 0; i < tls->n_credentials; i++) {
        look = builder_certificate(c->builder, tls->credentials[i]->certificate.text, host);
        if (look->covers_host)
            return;
    }
    complain(c, DIAG_CERTIFICATE_HOST, user->object, user->line, user->col, user->path,
             "the certificate of %.*s (%.*s) is not for \"%.*s\"",
             STR_ARG(tls->credentials[0]->certificate.source), STR_ARG(look->subject),
             STR_ARG(host));
}

// ---- one Secret for itself ----

void secret_check(struct compiler *c, const struct object *object)
{
    struct credential *credential = read_secret(c, object);
    bool is_tls = str_is(text_str(object->secret->type), "kubernetes.io/tls");
    bool has_pair = credential->certificate.text.len > 0 && credential->key.text.len > 0;
    if (is_tls && !has_pair)
        complain(c, DIAG_SECRET_KEYS, object, object->name_line, object->name_col, STR("data"),
                 "has no %s", credential->certificate.text.len > 0 ? "tls.key" : "tls.crt");
    // Other types may hold what they like under these names.
    if (!is_tls || !has_pair)
        return;
    struct server_tls tls = {.credentials = {credential},
                             .n_credentials = 1,
                             .ca = credential->ca,
                             .crl = credential->crl,
                             .config.client_auth = credential->ca.text.len > 0 ? TLS_CLIENT_OPTIONAL
                                                                               : TLS_CLIENT_NONE,
                             .user = {.object = object}};
    struct filter_chain chain = {0};
    server_tls_open(c, &tls, &chain);
}
