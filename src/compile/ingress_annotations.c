// SPDX-License-Identifier: Apache-2.0
// Every annotation that ingress-nginx knows has its row here: those that are served with a reader
// and the setting it fills, the others with what leaving them out means.
#include "compile/ingress_annotations.h"
#include "http/uri.h"
#include <stdlib.h>

static const char prefix[] = "nginx.ingress.kubernetes.io/";

enum effect {
    SERVED,
    IGNORED,  // a warning: it has no effect
    DENIES,   // it guards the backend: the paths are answered 503 rather than left open
    REFUSES,  // the Ingress is not served
    NEEDLESS, // it tunes what does not exist here: accepted without a word
};

struct reading { // of one annotation
    struct compiler *c;
    const struct object *ingress;
    const struct text_pair *pair;
    struct ingress_settings *settings;
};
// Writes to *target and returns true, or reports and leaves the default.
typedef bool (*annotation_read_fn)(struct reading *reading, struct str value, void *target);

struct annotation {
    const char *key; // behind the prefix
    const char *doc;
    const char *neutral; // a value that asks for nothing; NULL: none
    annotation_read_fn read;
    size_t target; // offset in struct ingress_settings
    enum effect effect;
};
#define TARGET(field) offsetof(struct ingress_settings, field)

// ---- readers ----

static struct str annotation_path(const struct reading *r)
{
    return path_of(r->c, "metadata.annotations[%s]", r->pair->key.ptr);
}

static struct diag *complain_value(struct reading *r, enum diag_code code, const char *why)
{
    return complain(r->c, code, r->ingress, r->pair->value.line, r->pair->value.col,
                    annotation_path(r), "\"%s\" %s", r->pair->value.ptr, why);
}

// As ingress-nginx: a value with characters that do not belong there takes the Ingress away.
static bool refuse(struct reading *r, const char *why)
{
    complain_value(r, DIAG_ANNOTATION_REFUSED, why);
    r->settings->is_refused = true;
    return false;
}

static bool parse_bool(struct str value, bool *ret)
{
    static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                            {"1", "t", "T", "true", "TRUE", "True"}};
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < 6; i++) {
            if (str_is(value, words[which][i])) {
                *ret = which;
                return true;
            }
        }
    }
    return false;
}

static bool read_bool(struct reading *r, struct str value, void *target)
{
    if (parse_bool(value, target))
        return true;
    complain_value(r, DIAG_ANNOTATION_VALUE, "is not true or false");
    return false;
}

// No blanks, quotes or what nginx gives a meaning to; ASCII alone.
static bool has_bad_bytes(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        if (byte <= ' ' || byte >= 0x7f || memchr("\"'`;{}\\<>", byte, 9))
            return true;
    }
    return false;
}

static bool set_text(void *target, struct str value)
{
    *(struct str *)target = value;
    return true;
}

static bool read_target(struct reading *r, struct str value, void *target)
{
    if (has_bad_bytes(value) || str_index(value, '#') >= 0)
        return refuse(r, "has characters that a path cannot have");
    if (str_has_prefix(value, STR("http://")) || str_has_prefix(value, STR("https://")))
        return refuse(r, "is a URL; permanent-redirect and temporal-redirect take one");
    for (size_t i = 0; i < value.len; i++) {
        char next = i + 1 < value.len ? value.ptr[i + 1] : 0;
        if (value.ptr[i] == '$' && (next < '1' || next > '9'))
            return refuse(r, "has a variable; $1 to $9, the groups of the path, are served");
    }
    if (value.len == 0 || (value.ptr[0] != '/' && value.ptr[0] != '$')) {
        complain_value(r, DIAG_ANNOTATION_VALUE, "is not an absolute path");
        return false;
    }
    return set_text(target, value);
}

static bool read_path(struct reading *r, struct str value, void *target)
{
    if (has_bad_bytes(value) || str_index(value, '$') >= 0)
        return refuse(r, "has characters that a path cannot have");
    if (!str_has_prefix(value, STR("/"))) {
        complain_value(r, DIAG_ANNOTATION_VALUE, "is not an absolute path");
        return false;
    }
    return set_text(target, value);
}

// What stands before the path of a URL: `$host`, or a host with or without port.
static bool is_authority(struct str text)
{
    return str_is(text, "$host") || uri_authority_is_valid(text);
}

static bool read_url(struct reading *r, struct str value, void *target)
{
    if (has_bad_bytes(value))
        return refuse(r, "has characters that a URL cannot have");
    struct str rest = value;
    bool has_scheme = false;
    static const char *const schemes[] = {"http://", "https://", "$scheme://"};
    for (size_t i = 0; i < 3 && !has_scheme; i++) {
        if (str_has_prefix(value, str_of(schemes[i]))) {
            has_scheme = true;
            rest = str_from(value, strlen(schemes[i]));
        }
    }
    if (!has_scheme || rest.len == 0) {
        complain_value(r, DIAG_ANNOTATION_VALUE, "is not an http or https URL");
        return false;
    }
    // $host as the host and $request_uri as the path are what people write.
    if (str_has_suffix(rest, STR("$request_uri")))
        rest.len -= strlen("$request_uri");
    size_t end = 0;
    while (end < rest.len && !memchr("/?#", rest.ptr[end], 3))
        end++;
    struct str authority = str_upto(rest, end);
    if (str_index(str_from(rest, str_is(authority, "$host") ? end : 0), '$') >= 0)
        return refuse(r, "has a variable; $scheme, $host and $request_uri are served");
    if (!is_authority(authority))
        return refuse(r, "has no valid host");
    return set_text(target, value);
}

static bool read_code(struct reading *r, struct str value, uint16_t *target, uint16_t max,
                      const char *why)
{
    uint64_t code = 0;
    if (str_to_u64(value, max, &code) && code >= 300) {
        *target = (uint16_t)code;
        return true;
    }
    complain_value(r, DIAG_ANNOTATION_VALUE, why);
    return false;
}

static bool read_temporal_code(struct reading *r, struct str value, void *target)
{
    return read_code(r, value, target, 307, "is not a status from 300 to 307; 302 is used");
}

static bool read_permanent_code(struct reading *r, struct str value, void *target)
{
    return read_code(r, value, target, 308, "is not a status from 300 to 308; 301 is used");
}

static bool read_size(struct reading *r, struct str value, void *target)
{
    unsigned shift = 0;
    struct str digits = value;
    if (value.len > 0) {
        switch (ascii_lower(value.ptr[value.len - 1])) {
        case 'g':
            shift += 10;
            __attribute__((fallthrough));
        case 'm':
            shift += 10;
            __attribute__((fallthrough));
        case 'k':
            shift += 10;
            __attribute__((fallthrough));
        case 'b':
            digits.len--;
            break;
        default:
            break;
        }
    }
    uint64_t n = 0;
    if (!str_to_u64(digits, UINT64_MAX >> shift, &n)) {
        complain_value(r, DIAG_ANNOTATION_VALUE, "is not a size as 8m, 512k or 1000");
        return false;
    }
    *(uint64_t *)target = n << shift;
    return true;
}

static bool read_protocol(struct reading *r, struct str value, void *target)
{
    static const struct {
        const char *word;
        enum upstream_protocol protocol;
    } protocols[] = {{"HTTP", UPSTREAM_HTTP},   {"AUTO_HTTP", UPSTREAM_AUTO},
                     {"HTTPS", UPSTREAM_HTTPS}, {"GRPC", UPSTREAM_GRPC},
                     {"GRPCS", UPSTREAM_GRPCS}, {"FCGI", UPSTREAM_FCGI}};
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        if (!str_equal_nocase(value, str_of(protocols[i].word)))
            continue;
        *(enum upstream_protocol *)target = protocols[i].protocol;
        if (protocols[i].protocol == UPSTREAM_FCGI)
            complain_value(r, DIAG_UPSTREAM_PROTOCOL,
                           "is not supported, so requests are answered 502");
        return true;
    }
    struct diag *diag =
        complain_value(r, DIAG_ANNOTATION_VALUE, "is no protocol of a backend; HTTP is used");
    diag_hint(r->c->diags, diag, "HTTP, HTTPS, AUTO_HTTP, GRPC, GRPCS and FCGI are");
    return false;
}

static bool read_host(struct reading *r, struct str value, void *target)
{
    if (str_index(value, '$') >= 0)
        return refuse(r, "has a variable, which is not served");
    if (!uri_authority_is_valid(value))
        return refuse(r, "is no name of a host");
    return set_text(target, value);
}

static bool read_header(struct reading *r, struct str value, void *target)
{
    if (has_bad_bytes(value))
        return refuse(r, "has characters that the header cannot have");
    if (str_index(value, '$') >= 0)
        return refuse(r, "has a variable, which is not served");
    return set_text(target, value);
}

static bool read_aliases(struct reading *r, struct str value, void *target)
{
    (void)r; // ingress.c looks at each, since it must know the other hosts
    return set_text(target, value);
}

// ---- TLS to the backend ----

// A setting that only counts where TLS is spoken; with it the Ingress has clusters of its own.
static struct upstream_tls *own_backend_tls(struct reading *r)
{
    struct upstream_tls *tls = &r->settings->backend_tls;
    tls->name = JOIN(r->c->scratch, r->ingress->ns, STR("/"), r->ingress->name);
    if (tls->line == 0) {
        tls->line = r->pair->key.line;
        tls->col = r->pair->key.col;
        tls->path = annotation_path(r);
    }
    return tls;
}

static bool read_backend_secret(struct reading *r, struct str value, void *target)
{
    struct upstream_tls *tls = own_backend_tls(r);
    ptrdiff_t slash = str_index(value, '/');
    struct str ns = slash < 0 ? r->ingress->ns : str_upto(value, (size_t)slash);
    struct str name = slash < 0 ? value : str_from(value, (size_t)slash + 1);
    tls->secret_line = r->pair->value.line;
    tls->secret_col = r->pair->value.col;
    const char *why = NULL;
    if (name.len == 0 || ns.len == 0 || str_index(name, '/') >= 0)
        why = "is not of the form name or namespace/name, so the paths are answered 503";
    else if (!str_equal(ns, r->ingress->ns))
        why = "is in another namespace, so the paths are answered 503: cross namespace secrets are "
              "not supported";
    if (why) {
        complain_value(r, DIAG_ANNOTATION_DENIES, why);
        r->settings->is_denied = true;
        return false;
    }
    return set_text(target, name);
}

static bool read_switch(struct reading *r, struct str value, void *target)
{
    own_backend_tls(r);
    if (str_is(value, "on") || str_is(value, "off")) {
        *(bool *)target = str_is(value, "on");
        return true;
    }
    complain_value(r, DIAG_ANNOTATION_VALUE, "is not on or off; off is used");
    return false;
}

static bool read_depth(struct reading *r, struct str value, void *target)
{
    uint64_t depth = 0;
    own_backend_tls(r);
    if (str_to_u64(value, 100, &depth) && depth > 0) {
        *(uint32_t *)target = (uint32_t)depth;
        return true;
    }
    complain_value(r, DIAG_ANNOTATION_VALUE, "is not a depth from 1 to 100; 1 is used");
    return false;
}

static bool read_backend_name(struct reading *r, struct str value, void *target)
{
    own_backend_tls(r);
    if (str_index(value, '$') >= 0)
        return refuse(r, "has a variable, which is not served");
    if (!uri_authority_is_valid(value) || str_index(value, ':') >= 0)
        return refuse(r, "is no name of a host");
    return set_text(target, value);
}

static bool read_ciphers(struct reading *r, struct str value, void *target)
{
    own_backend_tls(r);
    if (has_bad_bytes(value) || value.len == 0)
        return refuse(r, "has characters that a list of ciphers cannot have");
    return set_text(target, value);
}

// The oldest and the newest of the list; all between them are on offer.
static bool read_versions(struct reading *r, struct str value, void *target)
{
    static const struct {
        const char *word;
        uint16_t version;
    } versions[] = {{"TLSv1", TLS_VERSION_1_0},
                    {"TLSv1.1", TLS_VERSION_1_1},
                    {"TLSv1.2", TLS_VERSION_1_2},
                    {"TLSv1.3", TLS_VERSION_1_3}};
    enum { COUNT = sizeof versions / sizeof versions[0] };
    struct upstream_tls *tls = own_backend_tls(r);
    struct str rest = value, word;
    unsigned seen = 0, known;
    bool is_right = true;
    while (str_next(&rest, ' ', &word)) {
        for (known = 0; known < COUNT && !str_is(word, versions[known].word); known++)
            ;
        if (known < COUNT)
            seen |= 1u << known;
        else // OpenSSL has given these up: they are passed over, as nginx does
            is_right &= word.len == 0 || str_is(word, "SSLv2") || str_is(word, "SSLv3");
    }
    unsigned first = seen ? (unsigned)__builtin_ctz(seen) : 0;
    unsigned last = seen ? 31 - (unsigned)__builtin_clz(seen) : 0;
    (void)target;
    if (!seen || !is_right || (seen >> first) + 1 != 2u << (last - first)) {
        struct diag *diag = complain_value(r, DIAG_ANNOTATION_VALUE,
                                           "is no list of versions; TLSv1.2 and TLSv1.3 are used");
        diag_hint(r->c->diags, diag, "TLSv1, TLSv1.1, TLSv1.2 and TLSv1.3 are, without a gap");
        return false;
    }
    tls->version_min = versions[first].version;
    tls->version_max = versions[last].version;
    return true;
}

// ---- TLS handed on ----

static bool read_passthrough(struct reading *r, struct str value, void *target)
{
    if (!read_bool(r, value, target) || !*(bool *)target || r->c->options->has_ssl_passthrough)
        return true;
    *(bool *)target = false;
    struct diag *diag =
        complain(r->c, DIAG_ANNOTATION_NOT_SERVED, r->ingress, r->pair->key.line, r->pair->key.col,
                 annotation_path(r), "ssl-passthrough is not served: it is switched off");
    diag_hint(r->c->diags, diag, "option --enable-ssl-passthrough");
    return false;
}

// ---- TLS of clients ----

static bool read_secret_name(struct reading *r, struct str value, void *target)
{
    if (value.len == 0 || has_bad_bytes(value))
        return refuse(r, "is no name of a Secret");
    return set_text(target, value);
}

static bool read_verify_client(struct reading *r, struct str value, void *target)
{
    static const struct {
        const char *word;
        enum tls_client_auth auth;
    } words[] = {{"on", TLS_CLIENT_REQUIRED},
                 {"off", TLS_CLIENT_NONE},
                 {"optional", TLS_CLIENT_OPTIONAL},
                 {"optional_no_ca", TLS_CLIENT_OPTIONAL_NO_CA}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_is(value, words[i].word)) {
            *(enum tls_client_auth *)target = words[i].auth;
            return true;
        }
    }
    complain_value(r, DIAG_ANNOTATION_VALUE,
                   "is not on, off, optional or optional_no_ca; on is used");
    return false;
}

static bool read_client_depth(struct reading *r, struct str value, void *target)
{
    uint64_t depth = 0;
    if (str_to_u64(value, 100, &depth) && depth > 0) {
        *(unsigned *)target = (unsigned)depth;
        return true;
    }
    complain_value(r, DIAG_ANNOTATION_VALUE, "is not a length from 1 to 100; 1 is used");
    return false;
}

static bool read_server_ciphers(struct reading *r, struct str value, void *target)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool is_fine = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
                       memchr("+:_-!@=", c, 7);
        if (!is_fine)
            return refuse(r, "has characters that a list of ciphers cannot have");
    }
    return set_text(target, value);
}

// ---- the table, by key ----

// clang-format off
static const struct annotation annotations[] = {
    {.key = "affinity", .effect = IGNORED,
     .doc = "Sticky sessions."},
    {.key = "affinity-canary-behavior", .effect = IGNORED,
     .doc = "Sticky sessions and canaries."},
    {.key = "affinity-mode", .effect = IGNORED,
     .doc = "Sticky sessions: balanced or persistent."},
    {.key = "allowlist-source-range", .effect = DENIES,
     .doc = "Clients let in."},
    {.key = "app-root", .effect = SERVED, .read = read_path, .target = TARGET(app_root),
     .doc = "A request for exactly / is redirected (302) to this path."},
    {.key = "auth-always-set-cookie", .effect = IGNORED, .neutral = "false",
     .doc = "Set-Cookie of auth-url's answers."},
    {.key = "auth-cache-duration", .effect = IGNORED,
     .doc = "Caching of auth-url's answers."},
    {.key = "auth-cache-key", .effect = IGNORED,
     .doc = "Caching of auth-url's answers."},
    {.key = "auth-keepalive", .effect = IGNORED,
     .doc = "Connections to auth-url."},
    {.key = "auth-keepalive-requests", .effect = IGNORED,
     .doc = "Connections to auth-url."},
    {.key = "auth-keepalive-share-vars", .effect = IGNORED, .neutral = "false",
     .doc = "Variables of auth-url."},
    {.key = "auth-keepalive-timeout", .effect = IGNORED,
     .doc = "Connections to auth-url."},
    {.key = "auth-method", .effect = IGNORED,
     .doc = "Method of auth-url."},
    {.key = "auth-proxy-set-headers", .effect = IGNORED,
     .doc = "Headers for auth-url."},
    {.key = "auth-realm", .effect = IGNORED,
     .doc = "Realm of auth-type."},
    {.key = "auth-request-redirect", .effect = IGNORED,
     .doc = "Value of X-Auth-Request-Redirect."},
    {.key = "auth-response-headers", .effect = IGNORED,
     .doc = "Headers taken over from auth-url."},
    {.key = "auth-secret", .effect = IGNORED,
     .doc = "Passwords of auth-type."},
    {.key = "auth-secret-type", .effect = IGNORED,
     .doc = "Form of auth-secret."},
    {.key = "auth-signin", .effect = IGNORED,
     .doc = "Where auth-url sends strangers."},
    {.key = "auth-signin-redirect-param", .effect = IGNORED,
     .doc = "Parameter of auth-signin."},
    {.key = "auth-snippet", .effect = REFUSES,
     .doc = "Raw nginx configuration."},
    {.key = "auth-tls-error-page", .effect = IGNORED,
     .doc = "Where to send clients without a certificate; their handshake fails instead."},
    {.key = "auth-tls-match-cn", .effect = DENIES,
     .doc = "Names in client certificates."},
    {.key = "auth-tls-pass-certificate-to-upstream", .effect = SERVED, .read = read_bool, .target = TARGET(passes_client_cert),
     .doc = "The client certificate goes to the backend as `ssl-client-cert` (PEM, URL-encoded)."},
    {.key = "auth-tls-secret", .effect = SERVED, .read = read_secret_name, .target = TARGET(client_secret),
     .doc = "Secret with `ca.crt` (and `ca.crl`), with which client certificates of the Ingress's hosts are verified; the host is answered 403 when it cannot be used."},
    {.key = "auth-tls-verify-client", .effect = SERVED, .read = read_verify_client, .target = TARGET(client_auth),
     .doc = "`on` (the default; plain HTTP is redirected to https), `off`, `optional`, `optional_no_ca`; without a certificate that is due the handshake fails."},
    {.key = "auth-tls-verify-depth", .effect = SERVED, .read = read_client_depth, .target = TARGET(client_depth),
     .doc = "Length of their chain, 1 by default."},
    {.key = "auth-type", .effect = DENIES,
     .doc = "Passwords."},
    {.key = "auth-url", .effect = DENIES,
     .doc = "Authentication by another server."},
    {.key = "backend-protocol", .effect = SERVED, .read = read_protocol, .target = TARGET(protocol),
     .doc = "What the backend speaks: HTTP, AUTO_HTTP, HTTPS, GRPC or GRPCS; FCGI is answered 502. Without it, appProtocol of the Service's port says it."},
    {.key = "canary", .effect = REFUSES, .neutral = "false",
     .doc = "A share of another Ingress's requests."},
    {.key = "canary-by-cookie", .effect = IGNORED,
     .doc = "Canary: cookie that decides."},
    {.key = "canary-by-header", .effect = IGNORED,
     .doc = "Canary: header that decides."},
    {.key = "canary-by-header-pattern", .effect = IGNORED,
     .doc = "Canary: pattern of the header."},
    {.key = "canary-by-header-value", .effect = IGNORED,
     .doc = "Canary: value of the header."},
    {.key = "canary-weight", .effect = IGNORED,
     .doc = "Canary: share of the requests."},
    {.key = "canary-weight-total", .effect = IGNORED,
     .doc = "Canary: what the share is of."},
    {.key = "client-body-buffer-size", .effect = NEEDLESS,
     .doc = "Memory of nginx; has no counterpart."},
    {.key = "configuration-snippet", .effect = REFUSES,
     .doc = "Raw nginx configuration."},
    {.key = "connection-proxy-header", .effect = IGNORED, .neutral = "keep-alive",
     .doc = "Connection header towards the backend; connections are kept alive."},
    {.key = "cors-allow-credentials", .effect = IGNORED,
     .doc = "CORS: credentials."},
    {.key = "cors-allow-headers", .effect = IGNORED,
     .doc = "CORS: allowed headers."},
    {.key = "cors-allow-methods", .effect = IGNORED,
     .doc = "CORS: allowed methods."},
    {.key = "cors-allow-origin", .effect = IGNORED,
     .doc = "CORS: allowed origins."},
    {.key = "cors-expose-headers", .effect = IGNORED,
     .doc = "CORS: exposed headers."},
    {.key = "cors-max-age", .effect = IGNORED,
     .doc = "CORS: how long a preflight holds."},
    {.key = "custom-headers", .effect = IGNORED,
     .doc = "Response headers from a ConfigMap; a VirtualService's headers.response is served."},
    {.key = "custom-http-errors", .effect = IGNORED,
     .doc = "Answers replaced by the default backend's."},
    {.key = "default-backend", .effect = IGNORED,
     .doc = "Service for paths whose Service has no endpoint."},
    {.key = "denylist-source-range", .effect = DENIES,
     .doc = "Clients kept out."},
    {.key = "disable-proxy-intercept-errors", .effect = IGNORED, .neutral = "false",
     .doc = "Exempts from custom-http-errors."},
    {.key = "enable-access-log", .effect = IGNORED, .neutral = "true",
     .doc = "The access log of the Ingress."},
    {.key = "enable-cors", .effect = IGNORED, .neutral = "false",
     .doc = "CORS headers and preflight answers."},
    {.key = "enable-global-auth", .effect = NEEDLESS,
     .doc = "Exempts from a global auth-url; there is none."},
    {.key = "enable-modsecurity", .effect = DENIES, .neutral = "false",
     .doc = "Web application firewall."},
    {.key = "enable-opentelemetry", .effect = IGNORED, .neutral = "false",
     .doc = "Tracing."},
    {.key = "enable-owasp-core-rules", .effect = DENIES, .neutral = "false",
     .doc = "Web application firewall."},
    {.key = "enable-rewrite-log", .effect = IGNORED, .neutral = "false",
     .doc = "For debugging nginx."},
    {.key = "fastcgi-index", .effect = IGNORED,
     .doc = "FastCGI is not supported."},
    {.key = "fastcgi-params-configmap", .effect = IGNORED,
     .doc = "FastCGI is not supported."},
    {.key = "force-ssl-redirect", .effect = SERVED, .read = read_bool, .target = TARGET(force_ssl_redirect),
     .doc = "The same without a tls section."},
    {.key = "from-to-www-redirect", .effect = SERVED, .read = read_bool, .target = TARGET(www_redirect),
     .doc = "Requests for www.host are redirected (308) to host, or the other way round, whichever the rules name."},
    {.key = "http2-push-preload", .effect = IGNORED, .neutral = "false",
     .doc = "Browsers have given up HTTP/2 push."},
    {.key = "limit-allowlist", .effect = IGNORED,
     .doc = "Clients without limit."},
    {.key = "limit-burst-multiplier", .effect = IGNORED,
     .doc = "Burst of limit-rps and limit-rpm."},
    {.key = "limit-connections", .effect = IGNORED, .neutral = "0",
     .doc = "Requests at once of a client."},
    {.key = "limit-rate", .effect = IGNORED, .neutral = "0",
     .doc = "Speed of a response."},
    {.key = "limit-rate-after", .effect = IGNORED, .neutral = "0",
     .doc = "From where on."},
    {.key = "limit-rpm", .effect = IGNORED, .neutral = "0",
     .doc = "Requests a minute and client."},
    {.key = "limit-rps", .effect = IGNORED, .neutral = "0",
     .doc = "Requests a second and client."},
    {.key = "limit-whitelist", .effect = IGNORED,
     .doc = "Clients without limit."},
    {.key = "load-balance", .effect = IGNORED,
     .doc = "Choice of the endpoint; a DestinationRule's loadBalancer.simple is served."},
    {.key = "mirror-host", .effect = IGNORED,
     .doc = "Host of the copy."},
    {.key = "mirror-request-body", .effect = IGNORED,
     .doc = "Whether the copy has a body."},
    {.key = "mirror-target", .effect = IGNORED,
     .doc = "A copy of each request."},
    {.key = "modsecurity-snippet", .effect = REFUSES,
     .doc = "Raw firewall configuration."},
    {.key = "modsecurity-transaction-id", .effect = IGNORED,
     .doc = "Web application firewall: its transactions."},
    {.key = "opentelemetry-operation-name", .effect = IGNORED,
     .doc = "Tracing: names."},
    {.key = "opentelemetry-trust-incoming-span", .effect = IGNORED,
     .doc = "Tracing: trust."},
    {.key = "permanent-redirect", .effect = SERVED, .read = read_url, .target = TARGET(permanent_redirect),
     .doc = "Every request is redirected to this URL."},
    {.key = "permanent-redirect-code", .effect = SERVED, .read = read_permanent_code, .target = TARGET(permanent_code),
     .doc = "Status of permanent-redirect, 300 to 308; default 301."},
    {.key = "preserve-trailing-slash", .effect = SERVED, .read = read_bool, .target = TARGET(preserve_trailing_slash),
     .doc = "The redirect to https keeps a trailing slash."},
    {.key = "proxy-body-size", .effect = SERVED, .read = read_size, .target = TARGET(body_bytes_max),
     .doc = "Longest request body (k, m, g), 0: no limit; a longer one is answered 413."},
    {.key = "proxy-buffer-size", .effect = IGNORED,
     .doc = "Room for response headers."},
    {.key = "proxy-buffering", .effect = IGNORED, .neutral = "off",
     .doc = "Buffering of responses; bodies are streamed here."},
    {.key = "proxy-buffers-number", .effect = NEEDLESS,
     .doc = "Memory of nginx; has no counterpart."},
    {.key = "proxy-busy-buffers-size", .effect = NEEDLESS,
     .doc = "Memory of nginx; has no counterpart."},
    {.key = "proxy-connect-timeout", .effect = IGNORED,
     .doc = "Time to connect; a DestinationRule's connectTimeout is served."},
    {.key = "proxy-cookie-domain", .effect = IGNORED, .neutral = "off",
     .doc = "Domains in Set-Cookie."},
    {.key = "proxy-cookie-path", .effect = IGNORED, .neutral = "off",
     .doc = "Paths in Set-Cookie."},
    {.key = "proxy-http-version", .effect = IGNORED, .neutral = "1.1",
     .doc = "HTTP version towards the backend; it is 1.1."},
    {.key = "proxy-max-temp-file-size", .effect = NEEDLESS,
     .doc = "Disk buffering; there is none."},
    {.key = "proxy-next-upstream", .effect = IGNORED,
     .doc = "When another endpoint is tried."},
    {.key = "proxy-next-upstream-timeout", .effect = IGNORED,
     .doc = "How long another endpoint is tried."},
    {.key = "proxy-next-upstream-tries", .effect = IGNORED,
     .doc = "How often another endpoint is tried."},
    {.key = "proxy-read-timeout", .effect = IGNORED,
     .doc = "Time between two reads; a VirtualService's timeout is served."},
    {.key = "proxy-redirect-from", .effect = IGNORED, .neutral = "off",
     .doc = "Rewriting of Location."},
    {.key = "proxy-redirect-to", .effect = IGNORED,
     .doc = "Rewriting of Location."},
    {.key = "proxy-request-buffering", .effect = IGNORED, .neutral = "off",
     .doc = "Buffering of requests; bodies are streamed here."},
    {.key = "proxy-send-timeout", .effect = IGNORED,
     .doc = "Time between two writes; a VirtualService's timeout is served."},
    {.key = "proxy-ssl-ciphers", .effect = SERVED, .read = read_ciphers, .target = TARGET(backend_tls.ciphers),
     .doc = "TLS to the backend: ciphers of TLS 1.2, in OpenSSL's form."},
    {.key = "proxy-ssl-name", .effect = SERVED, .read = read_backend_name, .target = TARGET(backend_tls.server_name),
     .doc = "TLS to the backend: name that its certificate must have, and that is sent; without it the request's host."},
    {.key = "proxy-ssl-protocols", .effect = SERVED, .read = read_versions, .target = TARGET(backend_tls.version_min),
     .doc = "TLS to the backend: versions, from TLSv1 to TLSv1.3; default TLSv1.2 TLSv1.3."},
    {.key = "proxy-ssl-secret", .effect = SERVED, .read = read_backend_secret, .target = TARGET(backend_tls.secret),
     .doc = "TLS to the backend: Secret of the same namespace with ca.crt, and tls.crt and tls.key where a certificate of ours is asked for."},
    {.key = "proxy-ssl-server-name", .effect = SERVED, .read = read_switch, .target = TARGET(backend_tls.sends_sni),
     .doc = "TLS to the backend: on sends the server name (SNI); default off."},
    {.key = "proxy-ssl-verify", .effect = SERVED, .read = read_switch, .target = TARGET(backend_tls.verifies),
     .doc = "TLS to the backend: on verifies its certificate, against the Secret's ca.crt or else the system's authorities; default off."},
    {.key = "proxy-ssl-verify-depth", .effect = SERVED, .read = read_depth, .target = TARGET(backend_tls.verify_depth),
     .doc = "TLS to the backend: longest chain of authorities; default 1."},
    {.key = "relative-redirects", .effect = IGNORED, .neutral = "false",
     .doc = "Redirects without a host."},
    {.key = "rewrite-target", .effect = SERVED, .read = read_target, .target = TARGET(rewrite_target),
     .doc = "The whole path is replaced by this; $1 to $9 are groups of the rule's path."},
    {.key = "satisfy", .effect = IGNORED, .neutral = "all",
     .doc = "Whether one of address list and authentication suffices."},
    {.key = "server-alias", .effect = SERVED, .read = read_aliases, .target = TARGET(server_alias),
     .doc = "Further hosts of the Ingress's hosts: names and *.names, comma separated."},
    {.key = "server-snippet", .effect = REFUSES,
     .doc = "Raw nginx configuration."},
    {.key = "service-upstream", .effect = IGNORED, .neutral = "false",
     .doc = "The ClusterIP instead of the endpoints."},
    {.key = "session-cookie-change-on-failure", .effect = IGNORED, .neutral = "false",
     .doc = "Sticky sessions: a new endpoint after a failed try."},
    {.key = "session-cookie-conditional-samesite-none", .effect = IGNORED, .neutral = "false",
     .doc = "Sticky sessions: SameSite for old browsers."},
    {.key = "session-cookie-domain", .effect = IGNORED,
     .doc = "Sticky sessions: domain of the cookie."},
    {.key = "session-cookie-expires", .effect = IGNORED,
     .doc = "Sticky sessions: age of the cookie."},
    {.key = "session-cookie-max-age", .effect = IGNORED,
     .doc = "Sticky sessions: age of the cookie."},
    {.key = "session-cookie-name", .effect = IGNORED,
     .doc = "Sticky sessions: cookie."},
    {.key = "session-cookie-path", .effect = IGNORED,
     .doc = "Sticky sessions: path of the cookie."},
    {.key = "session-cookie-samesite", .effect = IGNORED,
     .doc = "Sticky sessions: SameSite of the cookie."},
    {.key = "session-cookie-secure", .effect = IGNORED,
     .doc = "Sticky sessions: Secure of the cookie."},
    {.key = "ssl-ciphers", .effect = SERVED, .read = read_server_ciphers, .target = TARGET(ciphers),
     .doc = "Ciphers of the Ingress's hosts up to TLS 1.2, as OpenSSL's list."},
    {.key = "ssl-passthrough", .effect = SERVED, .read = read_passthrough, .target = TARGET(ssl_passthrough),
     .doc = "TLS connections for the hosts are handed on by server name (SNI) to the backend of path /; needs --enable-ssl-passthrough."},
    {.key = "ssl-prefer-server-ciphers", .effect = IGNORED, .neutral = "true",
     .doc = "Whose order of ciphers counts; it is the server's."},
    {.key = "ssl-redirect", .effect = SERVED, .read = read_bool, .target = TARGET(ssl_redirect),
     .doc = "Plain HTTP of a host that is in a tls section is redirected (308) to https; default true."},
    {.key = "stream-snippet", .effect = REFUSES,
     .doc = "Raw nginx configuration."},
    {.key = "temporal-redirect", .effect = SERVED, .read = read_url, .target = TARGET(temporal_redirect),
     .doc = "Every request is redirected to this URL."},
    {.key = "temporal-redirect-code", .effect = SERVED, .read = read_temporal_code, .target = TARGET(temporal_code),
     .doc = "Status of temporal-redirect, 300 to 307; default 302."},
    {.key = "upstream-hash-by", .effect = IGNORED,
     .doc = "Consistent hashing."},
    {.key = "upstream-hash-by-subset", .effect = IGNORED, .neutral = "false",
     .doc = "Consistent hashing to groups."},
    {.key = "upstream-hash-by-subset-size", .effect = IGNORED,
     .doc = "Consistent hashing: size of a group."},
    {.key = "upstream-vhost", .effect = SERVED, .read = read_host, .target = TARGET(upstream_vhost),
     .doc = "Host header sent to the backend."},
    {.key = "use-port-in-redirects", .effect = IGNORED, .neutral = "false",
     .doc = "Redirects with a port."},
    {.key = "use-regex", .effect = SERVED, .read = read_bool, .target = TARGET(use_regex),
     .doc = "The paths are regular expressions, and so are all others of the host."},
    {.key = "whitelist-source-range", .effect = DENIES,
     .doc = "Clients let in."},
    {.key = "x-forwarded-prefix", .effect = SERVED, .read = read_header, .target = TARGET(forwarded_prefix),
     .doc = "Header X-Forwarded-Prefix sent to the backend where the path is rewritten."},
};
// clang-format on
enum { ANNOTATION_COUNT = sizeof annotations / sizeof annotations[0] };

static int compare_key(const void *key, const void *row)
{
    const struct str *wanted = key;
    const struct annotation *annotation = row;
    return str_compare(*wanted, str_of(annotation->key));
}

// ---- reading ----

static bool is_neutral(const struct annotation *row, struct str value)
{
    bool wanted, given;
    if (!row->neutral)
        return false;
    if (parse_bool(str_of(row->neutral), &wanted) && parse_bool(value, &given))
        return wanted == given;
    return str_equal_nocase(value, str_of(row->neutral));
}

static void report_unknown(struct reading *r, struct str key)
{
    struct compiler *c = r->c;
    struct diag *diag =
        complain(c, DIAG_ANNOTATION_UNKNOWN, r->ingress, r->pair->key.line, r->pair->key.col,
                 annotation_path(r), "ingress-nginx has no annotation \"%.*s\"", STR_ARG(key));
    if (c->suggestions_left < ANNOTATION_COUNT)
        return;
    c->suggestions_left -= ANNOTATION_COUNT;
    struct str names[ANNOTATION_COUNT];
    for (size_t i = 0; i < ANNOTATION_COUNT; i++)
        names[i] = str_of(annotations[i].key);
    struct str nearest = diag_nearest(key, names, ANNOTATION_COUNT);
    if (nearest.ptr)
        diag_hint(c->diags, diag, "did you mean %s%.*s?", prefix, STR_ARG(nearest));
}

static void refuse_by_effect(struct reading *r, const struct annotation *row)
{
    bool is_snippet = str_has_suffix(str_of(row->key), STR("-snippet"));
    struct diag *diag = complain(
        r->c, DIAG_ANNOTATION_REFUSED, r->ingress, r->pair->key.line, r->pair->key.col,
        annotation_path(r),
        is_snippet ? "%s annotation cannot be used. Snippet directives are disabled by the Ingress "
                     "administrator"
                   : "%s asks for what is not served, so all requests go to the main Ingress",
        row->key);
    if (is_snippet)
        diag_hint(r->c->diags, diag,
                  "redirects, rewrites and headers have fields of their own in a VirtualService: "
                  "http[].redirect, rewrite, headers");
    r->settings->is_refused = true;
}

static void read_one(struct reading *r, const struct annotation *row)
{
    struct str value = str_trim(text_str(r->pair->value));
    switch (row->effect) {
    case SERVED:
        row->read(r, value, (char *)r->settings + row->target);
        return;
    case NEEDLESS:
        return;
    case IGNORED:
    case DENIES:
    case REFUSES:
        break;
    }
    if (is_neutral(row, value))
        return;
    if (row->effect == REFUSES) {
        refuse_by_effect(r, row);
        return;
    }
    bool denies = row->effect == DENIES;
    complain(r->c, denies ? DIAG_ANNOTATION_DENIES : DIAG_ANNOTATION_NOT_SERVED, r->ingress,
             r->pair->key.line, r->pair->key.col, annotation_path(r), "%s is not served%s: %s",
             row->key, denies ? ", so the paths are answered 503" : "", row->doc);
    r->settings->is_denied |= denies;
}

struct ingress_settings ingress_settings_read(struct compiler *c, const struct object *ingress)
{
    struct ingress_settings settings = {.ssl_redirect = true,
                                        .client_auth = TLS_CLIENT_REQUIRED,
                                        .client_depth = 1,
                                        .temporal_code = 302,
                                        .permanent_code = 301,
                                        .protocol = UPSTREAM_BY_APP,
                                        .backend_tls = {.object = ingress, .verify_depth = 1},
                                        .body_bytes_max = c->options->body_bytes_max};
    for (uint32_t i = 0; i < ingress->annotations.n; i++) {
        const struct text_pair *pair = &ingress->annotations.items[i];
        if (!str_has_prefix(text_str(pair->key), str_of(prefix)))
            continue;
        struct str key = str_from(text_str(pair->key), sizeof prefix - 1);
        const struct annotation *row =
            bsearch(&key, annotations, ANNOTATION_COUNT, sizeof annotations[0], compare_key);
        struct reading reading = {c, ingress, pair, &settings};
        if (row)
            read_one(&reading, row);
        else
            report_unknown(&reading, key);
    }
    return settings;
}

const struct text *ingress_annotation(const struct object *ingress, const char *key)
{
    for (uint32_t i = 0; i < ingress->annotations.n; i++) {
        const struct text_pair *pair = &ingress->annotations.items[i];
        struct str name = text_str(pair->key);
        if (str_has_prefix(name, str_of(prefix)) && str_is(str_from(name, sizeof prefix - 1), key))
            return &pair->value;
    }
    return NULL;
}

void ingress_annotations_print_reference(struct buf *out)
{
    static const char *const effects[] = {
        [SERVED] = "served",
        [IGNORED] = "no effect (annotation-not-served)",
        [DENIES] = "503 for the paths (annotation-denies)",
        [REFUSES] = "the Ingress is not served (annotation-refused)",
        [NEEDLESS] = "accepted, needs nothing",
    };
    buf_printf(out, "# Ingress annotations\n\nThe prefix is `%s`.\n\n", prefix);
    buf_add_text(out, "| annotation | what becomes of it | no word about | meaning |\n"
                      "|---|---|---|---|\n");
    for (size_t i = 0; i < ANNOTATION_COUNT; i++) {
        const struct annotation *row = &annotations[i];
        bool is_quiet = row->neutral && row->neutral[0];
        buf_printf(out, "| %s | %s | %s%s%s | %s |\n", row->key, effects[row->effect],
                   is_quiet ? "`" : "", is_quiet ? row->neutral : "", is_quiet ? "`" : "",
                   row->doc);
    }
}
