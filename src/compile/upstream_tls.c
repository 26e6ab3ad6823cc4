// SPDX-License-Identifier: Apache-2.0
#include "compile/upstream_tls.h"
#include "compile/certificate.h"

struct making { // of one context
    struct compiler *c;
    struct cluster *cluster;
    struct credential_user user; // the block or annotation that asks for it
    struct material certificate, key, ca, crl;
    struct tls_client_config config;
    const char *otherwise; // what becomes of requests without it
    bool has_failed;       // reported
};

static struct credential_user user_at(const struct making *m, const struct text *text,
                                      const char *field)
{
    return (struct credential_user){m->user.object, text->line, text->col,
                                    JOIN(m->c->scratch, m->user.path, STR("."), str_of(field))};
}

static void report_failure(struct making *m, const struct tls_error *error)
{
    const struct material *culprit = NULL;
    switch (error->part) {
    case TLS_PART_CERTIFICATE:
        culprit = &m->certificate;
        break;
    case TLS_PART_KEY:
    case TLS_PART_MISMATCH:
        culprit = &m->key;
        break;
    case TLS_PART_CA:
        culprit = &m->ca;
        break;
    case TLS_PART_CRL:
        culprit = &m->crl;
        break;
    case TLS_PART_NONE:
    case TLS_PART_OCSP:
    case TLS_PART_CIPHERS:
    case TLS_PART_CURVES:
    case TLS_PART_VERSIONS:
    case TLS_PART_SPKI:
    case TLS_PART_HASH:
        break;
    }
    if (culprit && culprit->object) {
        complain(m->c, DIAG_CERTIFICATE_INVALID, culprit->object, culprit->line, culprit->col,
                 culprit->path, "%s", error->message);
        m->has_failed = true;
    } else {
        complain(m->c, DIAG_UPSTREAM_TLS, m->user.object, m->user.line, m->user.col, m->user.path,
                 "%s; %s", error->message, m->otherwise);
    }
}

static void finish(struct making *m)
{
    struct tls_client_config *config = &m->config;
    uint8_t protocol = m->cluster->protocol;
    // As Envoy: h2 alone is offered where that is what is spoken, nothing where HTTP/1.1 is.
    config->offers_http1 = protocol == CLUSTER_ALPN || protocol == CLUSTER_AS_CLIENT;
    config->offers_h2 = config->offers_http1 || protocol == CLUSTER_HTTP2;
    config->pair.certificate_pem = m->certificate.text;
    config->pair.key_pem = m->key.text;
    config->common.ca_pem = m->ca.text;
    config->common.crl_pem = m->crl.text;
    struct tls_error error = {0};
    if (!m->has_failed) {
        m->cluster->tls = builder_tls_client(m->c->builder, config, &error);
        if (!m->cluster->tls)
            report_failure(m, &error);
    }
    if (m->has_failed)
        complain(m->c, DIAG_UPSTREAM_TLS, m->user.object, m->user.line, m->user.col, m->user.path,
                 "its certificates cannot be used, so %s", m->otherwise);
}

// ---- DestinationRule ----

// The authorities lie beside the pair or in a Secret <name>-cacert, as for a Gateway's server.
static void take_credential(struct making *m, const struct client_tls *tls)
{
    struct compiler *c = m->c;
    struct credential_user user = user_at(m, &tls->credential_name, "credentialName");
    struct str ns = c->options->ns, name = text_str(tls->credential_name);
    struct str beside = JOIN(c->scratch, name, STR("-cacert"));
    if (tls->mode == CLIENT_TLS_MUTUAL) {
        const struct credential *credential = credential_require(c, &user, ns, name);
        m->has_failed = !credential;
        if (credential) {
            m->certificate = credential->certificate;
            m->key = credential->key;
        }
    }
    if (!m->config.verifies || m->has_failed)
        return;
    bool has_beside = store_find(c->store, KIND_SECRET, ns, beside) != NULL;
    m->has_failed =
        !credential_require_ca(c, &user, ns, has_beside ? beside : name, &m->ca, &m->crl);
}

static void take_file(struct making *m, const struct text *path, const char *field,
                      struct material *ret)
{
    struct credential_user user = user_at(m, path, field);
    if (path->len > 0 && !credential_read_file(m->c, &user, text_str(*path), ret))
        m->has_failed = true;
}

static void take_files(struct making *m, const struct client_tls *tls)
{
    if (tls->mode == CLIENT_TLS_MUTUAL) {
        take_file(m, &tls->client_certificate, "clientCertificate", &m->certificate);
        take_file(m, &tls->private_key, "privateKey", &m->key);
    }
    take_file(m, &tls->ca_certificates, "caCertificates", &m->ca);
    take_file(m, &tls->ca_crl, "caCrl", &m->crl);
}

static const struct str *names_of(struct compiler *c, const struct texts *texts)
{
    struct str *names = ARENA_ARRAY(c->scratch, struct str, texts->n + 1);
    for (uint32_t i = 0; i < texts->n; i++)
        names[i] = text_str(texts->items[i]);
    return names;
}

static void take_defaults(struct making *m, const struct upstream_tls_defaults *defaults)
{
    struct tls_client_config *config = &m->config;
    if (config->sni.len == 0)
        config->sni = defaults->server_name;
    if (config->verifies && config->common.n_subject_alt_names == 0) {
        config->common.subject_alt_names = defaults->subject_alt_names;
        config->common.n_subject_alt_names = defaults->n_subject_alt_names;
    }
}

void upstream_tls_of_policy(struct compiler *c, struct cluster *cluster,
                            const struct policy_tls *policy,
                            const struct upstream_tls_defaults *defaults)
{
    const struct client_tls *tls = policy->tls;
    if (!tls) {
        const struct destination_rule *rule = policy->object->destination_rule;
        complain(c, DIAG_UPSTREAM_TLS, policy->object, rule->tls_line, rule->tls_col, policy->path,
                 "the rule is broken and asks for TLS, so requests are answered 502");
        cluster->is_unserved_protocol = cluster->lacks_tls = true;
        return;
    }
    struct making m = {.c = c,
                       .cluster = cluster,
                       .user = {policy->object, tls->line, tls->col, policy->path},
                       .otherwise = "requests are answered 502"};
    if (tls->mode == CLIENT_TLS_DISABLE)
        return;
    if (tls->mode == CLIENT_TLS_ISTIO_MUTUAL) {
        struct diag *diag =
            complain(c, DIAG_UPSTREAM_TLS, policy->object, tls->line, tls->col, policy->path,
                     "ISTIO_MUTUAL takes certificates of a mesh, which are not "
                     "served, so %s",
                     m.otherwise);
        diag_hint(c->diags, diag, "mode MUTUAL takes them from files or a Secret");
        cluster->is_unserved_protocol = cluster->lacks_tls = true;
        return;
    }
    m.config.verifies = !tls->insecure_skip_verify.value;
    m.config.sends_sni = true;
    m.config.sni = text_str(tls->sni);
    m.config.common.subject_alt_names = names_of(c, &tls->subject_alt_names);
    m.config.common.n_subject_alt_names = tls->subject_alt_names.n;
    if (defaults)
        take_defaults(&m, defaults);
    if (tls->credential_name.len > 0)
        take_credential(&m, tls);
    else
        take_files(&m, tls);
    finish(&m);
    cluster->is_unserved_protocol = cluster->lacks_tls = !cluster->tls;
}

// ---- Ingress ----

static void take_ingress_secret(struct making *m, const struct upstream_tls *tls)
{
    struct compiler *c = m->c;
    struct credential_user user = {
        tls->object, tls->secret_line, tls->secret_col,
        STR("metadata.annotations[nginx.ingress.kubernetes.io/proxy-ssl-secret]")};
    const struct credential *found = credential_find(c, tls->object->ns, tls->secret);
    bool has_pair = found && (found->certificate.text.len > 0 || found->key.text.len > 0);
    if (has_pair) {
        const struct credential *whole = credential_require(c, &user, tls->object->ns, tls->secret);
        m->has_failed = !whole;
        m->certificate = found->certificate;
        m->key = found->key;
        m->ca = found->ca;
        m->crl = found->crl;
    } else {
        m->has_failed =
            !credential_require_ca(c, &user, tls->object->ns, tls->secret, &m->ca, &m->crl);
    }
}

void upstream_tls_of_ingress(struct compiler *c, struct cluster *cluster,
                             const struct upstream_tls *tls)
{
    struct making m = {.c = c,
                       .cluster = cluster,
                       .user = {tls->object, tls->line, tls->col, tls->path},
                       .otherwise = "requests are answered 503"};
    m.config.verifies = tls->verifies;
    m.config.sends_sni = tls->sends_sni;
    m.config.sni = tls->server_name;
    m.config.name = tls->server_name;
    m.config.common.ciphers = tls->ciphers;
    m.config.common.verify_depth = tls->verify_depth;
    m.config.common.version_min = tls->version_min;
    m.config.common.version_max = tls->version_max;
    if (tls->secret.len > 0)
        take_ingress_secret(&m, tls);
    finish(&m);
    cluster->is_missing = !cluster->tls; // as ingress-nginx: 503
}
