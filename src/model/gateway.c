// SPDX-License-Identifier: Apache-2.0
#include "model/names.h"
#include "model/workload.h"
#include <stdio.h>

// --- servers[].port ----------------------------------------------------------------------------

const struct word port_protocol_words[] = {
    {"HTTP", GATEWAY_HTTP},         {"HTTP2", GATEWAY_HTTP2}, {"GRPC", GATEWAY_GRPC},
    {"GRPC-WEB", GATEWAY_GRPC_WEB}, {"HTTPS", GATEWAY_HTTPS}, {"TLS", GATEWAY_TLS},
    {"TCP", GATEWAY_TCP},           {"MONGO", GATEWAY_MONGO}, {NULL, 0},
};

bool find_port_protocol(struct str text, enum gateway_protocol *ret, struct str *ret_nearest)
{
    struct str names[sizeof(port_protocol_words) / sizeof(port_protocol_words[0])];
    size_t n = 0;
    for (; port_protocol_words[n].word; n++) {
        names[n] = str_of(port_protocol_words[n].word);
        if (str_equal_nocase(names[n], text)) {
            *ret = (enum gateway_protocol)port_protocol_words[n].value;
            return true;
        }
    }
    *ret_nearest = diag_nearest(text, names, n);
    return false;
}

static void read_protocol(struct reader *reader, const struct field *field, const struct node *node,
                          void *value)
{
    struct gateway_server *server = value;
    struct str nearest;
    if (!read_text(reader, NULL, node, &server->protocol_text) ||
        find_port_protocol(node->scalar, &server->protocol, &nearest))
        return;
    char hint[64];
    snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
    report(reader, DIAG_FIELD_VALUE, node->line, node->col, nearest.len ? hint : NULL,
           "invalid protocol \"%.*s\", supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, "
           "TLS, TCP, MONGO",
           STR_ARG(str_upto(node->scalar, 80)));
}

static const struct field port_fields[] = {
    {.key = "number",
     .type = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     AT(struct gateway_server, port),
     .min = 1,
     .max = 65535,
     .doc = "Port that is opened."},
    {.key = "name",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct gateway_server, port_name),
     .required = "port name must be set",
     .doc = "Name, unique among the servers."},
    {.key = "protocol",
     .type = FIELD_CUSTOM,
     .flags = FIELD_REQUIRED,
     .words = port_protocol_words,
     .read = read_protocol,
     .required = "invalid protocol: must be set",
     .doc =
         "Protocol, in any case. HTTP, HTTP2, GRPC and GRPC-WEB are one HTTP server; HTTPS is one "
         "behind TLS; TLS has connections behind it, or passes them through; TCP and MONGO are "
         "plain connections."},
    NOT_SERVED("targetPort", "0", "Port to listen on instead of `number`; deprecated in Istio."),
};
static const struct table port_table = {.name = "Port", TABLE_FIELDS(port_fields)};

// --- servers[].tls -----------------------------------------------------------------------------

static const struct word mode_words[] = {
    {"PASSTHROUGH", TLS_PASSTHROUGH},
    {"SIMPLE", TLS_SIMPLE},
    {"MUTUAL", TLS_MUTUAL},
    {"AUTO_PASSTHROUGH", TLS_AUTO_PASSTHROUGH},
    {"ISTIO_MUTUAL", TLS_ISTIO_MUTUAL},
    {"OPTIONAL_MUTUAL", TLS_OPTIONAL_MUTUAL},
    {NULL, 0},
};
static const struct word version_words[] = {
    {"TLS_AUTO", TLS_PROTOCOL_AUTO},
    {"TLSV1_0", TLSV1_0},
    {"TLSV1_1", TLSV1_1},
    {"TLSV1_2", TLSV1_2},
    {"TLSV1_3", TLSV1_3},
    {NULL, 0},
};

// Those that Istio takes.
static const char *const cipher_suites[] = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
};
enum { CIPHER_SUITES = sizeof(cipher_suites) / sizeof(cipher_suites[0]) };

bool cipher_suite_is_known(struct str name)
{
    for (size_t i = 0; i < CIPHER_SUITES; i++) {
        if (str_is(name, cipher_suites[i]))
            return true;
    }
    return false;
}

static void check_cipher_suite(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (cipher_suite_is_known(text_str(*text)))
        return;
    struct str names[CIPHER_SUITES];
    for (size_t i = 0; i < CIPHER_SUITES; i++)
        names[i] = str_of(cipher_suites[i]);
    struct str nearest = diag_nearest(text_str(*text), names, CIPHER_SUITES);
    char hint[80];
    snprintf(hint, sizeof(hint), "did you mean \"%.*s\"?", STR_ARG(nearest));
    report(reader, DIAG_CIPHER_SUITE, text->line, text->col, nearest.len ? hint : NULL,
           "ignoring invalid cipher suites: \"%.*s\"", STR_ARG(str_upto(text_str(*text), 80)));
}

static const struct field certificate_fields[] = {
    {.key = "serverCertificate",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct gateway_files, certificate),
     .doc = "File with the certificate (PEM)."},
    {.key = "privateKey",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct gateway_files, key),
     .doc = "File with its key (PEM)."},
    {.key = "caCertificates",
     .type = FIELD_TEXT,
     AT(struct gateway_files, ca),
     .doc = "File with the authorities of client certificates (PEM)."},
};
static const struct table certificate_table = {
    .name = "ServerTLSSettings_TLSCertificate",
    TABLE_FIELDS(certificate_fields),
    .bytes = sizeof(struct gateway_files),
    .has_place = HAS(struct gateway_files, line),
};

static const struct field tls_fields[] = {
    {.key = "mode",
     .type = FIELD_WORD,
     AT(struct gateway_server, tls_mode),
     .words = mode_words,
     .doc = "How TLS is ended or passed on. An empty `tls` means PASSTHROUGH."},
    {.key = "httpsRedirect",
     .type = FIELD_FLAG,
     AT(struct gateway_server, https_redirect),
     .doc = "Every request of the server's hosts is answered with a redirect (301) to https."},
    {.key = "credentialName",
     .type = FIELD_TEXT,
     AT(struct gateway_server, credential_name),
     .doc = "Secret with certificate and key, in the gateway's namespace (option `--namespace`). "
            "Client certificates are verified with its `ca.crt` or with the Secret "
            "`<name>-cacert`."},
    {.key = "credentialNames",
     .type = FIELD_TEXTS,
     AT(struct gateway_server, credential_names),
     .doc = "Up to two such Secrets, with keys of different types (RSA and ECDSA)."},
    {.key = "serverCertificate",
     .type = FIELD_TEXT,
     AT(struct gateway_server, files.certificate),
     .doc = "File with the certificate, and behind it those that lead to its authority (PEM)."},
    {.key = "privateKey",
     .type = FIELD_TEXT,
     AT(struct gateway_server, files.key),
     .doc = "File with its key (PEM, not encrypted)."},
    {.key = "caCertificates",
     .type = FIELD_TEXT,
     AT(struct gateway_server, files.ca),
     .doc = "File with the authorities of client certificates (PEM)."},
    {.key = "caCrl",
     .type = FIELD_TEXT,
     AT(struct gateway_server, ca_crl),
     .doc = "File with lists of revoked client certificates (PEM)."},
    {.key = "caCertCredentialName",
     .type = FIELD_TEXT,
     AT(struct gateway_server, ca_credential_name),
     .doc = "Secret with the authorities of client certificates, instead of those that "
            "`credentialName` leads to."},
    {.key = "tlsCertificates",
     .type = FIELD_LIST,
     LIST_AT(struct gateway_server, certificates, n_certificates),
     .table = &certificate_table,
     .doc = "Up to two pairs of files, with keys of different types (RSA and ECDSA)."},
    {.key = "subjectAltNames",
     .type = FIELD_TEXTS,
     AT(struct gateway_server, subject_alt_names),
     .doc = "Names of which a client certificate must carry one."},
    {.key = "verifyCertificateSpki",
     .type = FIELD_TEXTS,
     AT(struct gateway_server, spki_hashes),
     .doc = "SHA-256 of the public keys (SubjectPublicKeyInfo) that client certificates may have, "
            "in base64."},
    {.key = "verifyCertificateHash",
     .type = FIELD_TEXTS,
     AT(struct gateway_server, certificate_hashes),
     .doc = "SHA-256 of the client certificates that are let in, in hex."},
    {.key = "minProtocolVersion",
     .type = FIELD_WORD,
     AT(struct gateway_server, version_min),
     .words = version_words,
     .doc = "Oldest version of TLS; TLSV1_2 by default."},
    {.key = "maxProtocolVersion",
     .type = FIELD_WORD,
     AT(struct gateway_server, version_max),
     .words = version_words,
     .doc = "Newest version of TLS; TLSV1_3 by default."},
    {.key = "cipherSuites",
     .type = FIELD_TEXTS,
     AT(struct gateway_server, cipher_suites),
     .check = check_cipher_suite,
     .doc =
         "Ciphers on offer up to TLS 1.2, by their names in OpenSSL; what Istio does not know is "
         "left out, which is reported."},
};

static bool has_any(const struct node *node, const char *const *keys)
{
    for (; *keys; keys++) {
        if (field_node(node, *keys))
            return true;
    }
    return false;
}

// Istio: one for each type of key.
static void check_count(struct reader *reader, const struct node *tls, const char *key)
{
    const struct node *list = field_node(tls, key);
    if (!list || list->type != NODE_LIST || (list->list.n_items >= 1 && list->list.n_items <= 2))
        return;
    report_at(reader, key, DIAG_FIELD_VALUE, list->line, list->col, NULL,
              list->list.n_items == 0 ? "must not be empty" : "takes two at most");
}

static void check_certificates(struct reader *reader, const struct node *node, const char *mode)
{
    bool has_credential = field_node(node, "credentialName") || field_node(node, "credentialNames");
    bool has_certificates = field_node(node, "tlsCertificates");
    bool has_files = field_node(node, "serverCertificate") || field_node(node, "privateKey");
    int sources = !!field_node(node, "credentialName") + !!field_node(node, "credentialNames") +
                  has_certificates + has_files;
    if (sources > 1)
        report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
               "only one of credential_name, credential_names, server_certificate/private_key, "
               "tls_certificates should be specified");
    check_count(reader, node, "credentialNames");
    check_count(reader, node, "tlsCertificates");
    if (has_credential || has_certificates)
        return;
    if (!field_node(node, "serverCertificate"))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, "give a credentialName",
               "%s TLS requires a server certificate", mode);
    if (!field_node(node, "privateKey"))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "%s TLS requires a private key", mode);
    if (!str_is(str_of(mode), "SIMPLE") && !field_node(node, "caCertificates") &&
        !field_node(node, "caCertCredentialName"))
        report(reader, DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
               "%s TLS requires a client CA bundle", mode);
}

static void check_repeated_ciphers(struct reader *reader, const struct texts *suites)
{
    for (uint32_t i = 1; i < suites->n; i++) {
        for (uint32_t k = 0; k < i; k++) {
            const struct text *suite = &suites->items[i];
            if (!str_equal(text_str(*suite), text_str(suites->items[k])))
                continue;
            report_at(reader, "cipherSuites", DIAG_CIPHER_SUITE, suite->line, suite->col, NULL,
                      "ignoring duplicate cipher suites: \"%.*s\"",
                      STR_ARG(str_upto(text_str(*suite), 80)));
            break;
        }
    }
}

static void check_mode(struct reader *reader, const struct node *node,
                       const struct gateway_server *server)
{
    static const char *const materials[] = {"credentialName",
                                            "credentialNames",
                                            "serverCertificate",
                                            "privateKey",
                                            "caCertificates",
                                            "tlsCertificates",
                                            NULL};
    check_repeated_ciphers(reader, &server->cipher_suites);
    switch (server->tls_mode) {
    case TLS_SIMPLE:
    case TLS_MUTUAL:
    case TLS_OPTIONAL_MUTUAL:
        check_certificates(reader, node, mode_words[server->tls_mode].word);
        break;
    case TLS_ISTIO_MUTUAL:
        if (has_any(node, materials))
            report(reader, DIAG_FIELD_CONFLICT, node->line, node->col, NULL,
                   "ISTIO_MUTUAL TLS cannot have associated certificates or credentials");
        break;
    case TLS_PASSTHROUGH:
    case TLS_AUTO_PASSTHROUGH:
        break;
    }
}

static const struct table tls_table = {
    .name = "ServerTLSSettings",
    TABLE_FIELDS(tls_fields),
    .has_place = HAS(struct gateway_server, tls_line),
    .has_is_set = HAS(struct gateway_server, has_tls),
};

// --- servers[] ---------------------------------------------------------------------------------

static void check_server_host(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str host = text_str(*text);
    ptrdiff_t slash = str_index(host, '/');
    if (slash >= 0) {
        struct str ns = str_upto(host, (size_t)slash);
        if (!str_is(ns, "*") && !str_is(ns, ".") && dns_label_mistake(ns))
            REPORT_TEXT(reader, DIAG_FIELD_VALUE, text,
                        "\"%.*s\": the namespace before '/' must be *, . or a name",
                        STR_ARG(str_upto(host, 300)));
        host = str_from(host, (size_t)slash + 1);
    }
    const char *mistake = istio_host_mistake(host);
    if (mistake)
        REPORT_TEXT(reader, DIAG_FIELD_VALUE, text, "\"%.*s\": %s", STR_ARG(str_upto(host, 300)),
                    mistake);
}

static bool is_redirect_only(const struct node *tls)
{
    for (uint32_t i = 0; tls->type == NODE_MAP && i < tls->map.n_pairs; i++) {
        if (!str_is(tls->map.pairs[i].key, "httpsRedirect") &&
            scalar_type(tls->map.pairs[i].value) != SCALAR_NULL)
            return false;
    }
    return true;
}

static void check_server(struct reader *reader, const struct node *node, void *value)
{
    const struct gateway_server *server = value;
    const struct node *tls = field_node(node, "tls");
    if (!server->protocol_text.ptr || reader->has_failed)
        return;
    switch (server->protocol) {
    case GATEWAY_HTTP:
    case GATEWAY_HTTP2:
    case GATEWAY_GRPC:
    case GATEWAY_GRPC_WEB:
        if (tls && !is_redirect_only(tls))
            report_at(reader, "tls", DIAG_FIELD_CONFLICT, tls->line, tls->col, NULL,
                      "server cannot have TLS settings for plain text HTTP ports");
        break;
    case GATEWAY_HTTPS:
    case GATEWAY_TLS: {
        struct step step = {.parent = reader->step, .key = STR("tls")};
        if (!tls) {
            report_at(reader, "tls", DIAG_FIELD_REQUIRED, node->line, node->col, NULL,
                      "server must have TLS settings for HTTPS/TLS protocols");
            break;
        }
        reader->step = &step;
        check_mode(reader, tls, server);
        reader->step = step.parent;
        if (server->https_redirect.value)
            report_at(reader, "tls.httpsRedirect", DIAG_FIELD_NO_EFFECT,
                      server->https_redirect.line, server->https_redirect.col, NULL,
                      "tls.httpsRedirect should only be used with http servers");
        break;
    }
    case GATEWAY_TCP:
    case GATEWAY_MONGO:
        if (tls)
            report_at(reader, "tls", DIAG_FIELD_CONFLICT, tls->line, tls->col, NULL,
                      "server cannot have TLS settings for non HTTPS/TLS ports");
        break;
    }
}

static const struct field server_fields[] = {
    {.key = "port",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &port_table,
     .required = "port is required",
     .doc = "Port and protocol."},
    {.key = "bind",
     .type = FIELD_TEXT,
     AT(struct gateway_server, bind),
     .doc = "Address to listen on; without one, all (option `--bind`)."},
    {.key = "hosts",
     .type = FIELD_TEXTS,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     AT(struct gateway_server, hosts),
     .check = check_server_host,
     .required = "server config must contain at least one host",
     .doc = "Hosts, each `[namespace/]name`; only VirtualServices of that namespace may bind (`*` "
            "any, `.` the Gateway's own)."},
    {.key = "tls",
     .type = FIELD_STRUCT,
     .table = &tls_table,
     .doc = "TLS. Of an HTTP server only `httpsRedirect`."},
    {.key = "name",
     .type = FIELD_TEXT,
     AT(struct gateway_server, name),
     .doc = "Name of the server."},
    NOT_SERVED("defaultEndpoint", NULL,
               "Address that requests go to without a route; Istio does not implement it either."),
};
static const struct table server_table = {
    .name = "Server",
    TABLE_FIELDS(server_fields),
    .bytes = sizeof(struct gateway_server),
    .has_place = HAS(struct gateway_server, line),
    .has_is_invalid = HAS(struct gateway_server, is_invalid),
    .check = check_server,
};

// --- the Gateway -------------------------------------------------------------------------------

static void check_spec(struct reader *reader, const struct node *node, void *value)
{
    struct gateway *gateway = value;
    struct step list = {.parent = reader->step, .key = STR("servers")};
    struct step item = {.parent = &list, .kind = STEP_INDEX};
    bool outer_failed = reader->has_failed;
    reader->step = &item;
    for (uint32_t i = 0; i < gateway->n_servers; i++) {
        struct gateway_server *server = &gateway->servers[i];
        item.index = i;
        for (uint32_t other = 0; other < i && server->port_name.len; other++) {
            if (!str_equal(text_str(server->port_name),
                           text_str(gateway->servers[other].port_name)))
                continue;
            report_at(reader, "port.name", DIAG_DUPLICATE_NAME, server->port_name.line,
                      server->port_name.col, NULL,
                      "port names in servers must be unique: duplicate name %s",
                      server->port_name.ptr);
            server->is_invalid = reader->has_invalid_parts = true;
            break;
        }
    }
    reader->step = list.parent;
    reader->has_failed = outer_failed;
}

static const struct field spec_fields[] = {
    {.key = "selector",
     .type = FIELD_TEXT_MAP,
     AT(struct gateway, selector),
     .check = check_labels,
     .doc = "Labels that a gateway must have to serve this (option `--labels`; without it, all are "
            "served)."},
    {.key = "servers",
     .type = FIELD_LIST,
     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
     LIST_AT(struct gateway, servers, n_servers),
     .table = &server_table,
     .required = "gateway must have at least one server",
     .doc = "Ports to open, and hosts that VirtualServices may serve there."},
};
static const struct table spec_table = {
    .name = "GatewaySpec", TABLE_FIELDS(spec_fields), .check = check_spec};

static const struct field fields[] = {
    ROOT_FIELDS,
    {.key = "spec",
     .type = FIELD_STRUCT,
     .flags = FIELD_REQUIRED,
     .table = &spec_table,
     .required = "gateway must have at least one server",
     .doc = "What the gateway opens."},
    IRRELEVANT("status", "Conditions, written by Istio."),
};
const struct table gateway_table = {
    .name = "Gateway", TABLE_FIELDS(fields), .bytes = sizeof(struct gateway)};
