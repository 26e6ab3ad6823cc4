// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"
#include "base/check.h"
#include "cli/option_readers.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT(member) offsetof(struct options, member)
#define MS(seconds) ((uint64_t)(seconds)*1000)
#define DAY_MS MS(86400)

// clang-format off
static const struct option_row rows[] = {
    // What is served.
    {"filename", 'f', "PATH", NULL, FOR_MODEL, option_read_path, 0, 0, 0,
     "A manifest (YAML or JSON, several documents a file) or a folder of them, watched for changes; `-` is standard input. Repeatable."},
    {"labels", 0, "KEY=VALUE,...", NULL, FOR_MODEL, option_read_labels, 0, 0, 0,
     "This gateway's labels: an Istio Gateway is served when its selector is satisfied by them. Without this option every Gateway is served. In a sidecar: the workload's."},
    {"namespace", 0, "NS", NULL, FOR_MODEL, option_read_text, AT(compile.ns), 0, 0,
     "The namespace of this gateway, or of the workload in a sidecar. Default: istio-system; in a sidecar default."},
    {"sidecar", 0, NULL, NULL, FOR_MODEL, option_read_switch, AT(compile.is_sidecar), 0, 0,
     "Serves the captured connections of one workload, with the namespace and labels that are given, instead of Ingresses, Gateways and nodePorts (docs/sidecar.md)."},
    {"outbound-policy", 0, "ALLOW_ANY|REGISTRY_ONLY", "ALLOW_ANY", FOR_MODEL | FOR_SIDECAR, option_read_outbound_policy, 0, 0, 0,
     "In a sidecar: what becomes of connections to what no Service or ServiceEntry declares, where no Sidecar says otherwise. ALLOW_ANY: they go to where the client dialled; REGISTRY_ONLY: HTTP is answered 502, the rest closed."},
    {"outbound-port", 0, "PORT", "15001", FOR_MODEL | FOR_SIDECAR | FOR_CAPTURE, option_read_capture_port, AT(compile.outbound_port), 0, 0,
     "In a sidecar: where connections that the workload opens arrive once captured; 0: they are not served."},
    {"inbound-port", 0, "PORT", "15006", FOR_MODEL | FOR_SIDECAR | FOR_CAPTURE, option_read_capture_port, AT(compile.inbound_port), 0, 0,
     "In a sidecar: where connections to the workload arrive once captured; 0: they are not served."},
    {"capture-mode", 0, "redirect|tproxy", "redirect", FOR_MODEL | FOR_SIDECAR, option_read_capture_mode, 0, 0, 0,
     "In a sidecar: how connections are captured. redirect: the kernel is asked for the address that was dialled; tproxy: it is the socket's own."},
    {"ingress-controller", 0, "NAME", "sluicegate.io/ingress-controller", FOR_MODEL, option_read_text, AT(compile.ingress_controller), 0, 0,
     "The `spec.controller` of the IngressClasses that are served here."},
    {"ingress-class", 0, "NAME", NULL, FOR_MODEL, option_read_text, AT(compile.ingress_class), 0, 0,
     "Serves the Ingresses of this class alone."},
    {"http-port", 0, "PORT", "80", FOR_MODEL, option_read_port, AT(compile.http_port), 0, 0,
     "The port where Ingress is served over HTTP."},
    {"https-port", 0, "PORT", "443", FOR_MODEL, option_read_port, AT(compile.https_port), 0, 0,
     "The port where Ingress is served over HTTPS."},
    {"enable-ssl-passthrough", 0, NULL, NULL, FOR_MODEL, option_read_switch, AT(compile.has_ssl_passthrough), 0, 0,
     "Serves the annotation ssl-passthrough of Ingresses, as ingress-nginx's option of this name."},
    {"default-ssl-certificate", 0, "NS/NAME", NULL, FOR_MODEL, option_read_secret, AT(compile.default_certificate), 0, 0,
     "The Secret with the certificate for hosts of Ingresses that have none; also opens the HTTPS port without a `tls` section. Default: one made at the start."},
    {"tls-min-version", 0, "VERSION", "1.2", FOR_MODEL, option_read_tls_version, 0, 0, 0,
     "The oldest version of TLS, 1.0 to 1.3, that servers take which name none."},
    {"tls-ciphers", 0, "LIST", NULL, FOR_MODEL, option_read_tls_ciphers, AT(compile.tls_ciphers), 0, 0,
     "The cipher suites of servers that name none, as OpenSSL writes them, `:` between; those of TLS 1.3 begin with TLS_."},
    {"tls-ecdh-curves", 0, "LIST", NULL, FOR_MODEL, option_read_tls_curves, AT(compile.tls_curves), 0, 0,
     "The curves of the key exchange on offer to clients, the preferred one first. Default: X25519:P-256:P-384."},
    {"hsts", 0, "TEXT|off", "max-age=31536000; includeSubDomains", FOR_MODEL, option_read_hsts, AT(compile.hsts), 0, 0,
     "The `strict-transport-security` header of Ingress responses over HTTPS, where the host has a certificate."},
    {"port-map", 0, "FROM=TO", NULL, FOR_MODEL, option_read_port_map, 0, 0, 0,
     "Opens port TO where a manifest names port FROM (`80=8080`; 0: the kernel chooses); needed for ports below 1024 without privilege. Repeatable, or a list with commas."},
    {"proxy-protocol", 0, "PORT,...|all", NULL, FOR_MODEL, option_read_proxy_ports, 0, 0, 0,
     "The ports, as manifests name them, where every connection begins with a PROXY header (version 1 or 2) that names the client: those behind a load balancer that sends it. A connection without one is closed, and anybody who reaches such a port can claim an address. Repeatable."},
    {"bind", 0, "ADDR", NULL, FOR_MODEL, option_read_ip, AT(compile.bind), 0, 0,
     "The address that listeners are opened on. Default: 0.0.0.0; in a sidecar ::, which takes IPv4 as well, since both are captured (0.0.0.0 where the host has no IPv6)."},
    {"cluster-domain", 0, "DOMAIN", "cluster.local", FOR_MODEL, option_read_text, AT(compile.cluster_domain), 0, 0,
     "The domain that the cluster's Service names end in."},
    {"merge-slashes", 0, NULL, NULL, FOR_MODEL, option_read_switch, AT(compile.merge_slashes), 0, 0,
     "Takes several slashes in a row in a request's path as one."},
    {"body-limit", 0, "BYTES", "0", FOR_MODEL, option_read_bytes, AT(compile.body_bytes_max), 0, UINT64_MAX,
     "The largest request body where no annotation says otherwise (413 above it); 0: no limit."},
    {"json", 0, NULL, NULL, FOR_CHECK | FOR_DUMP, option_read_switch, AT(json), 0, 0,
     "Prints JSON instead of text."},

    // What the proxy does.
    {"workers", 0, "N", "0", FOR_RUN, option_read_workers, 0, 0, 0,
     "Worker threads; 0: one for each core this process may use."},
    {"pin-workers", 0, NULL, NULL, FOR_RUN, option_read_switch, AT(proxy.pin_workers), 0, 0,
     "Ties each worker to a core."},
    {"server-header", 0, "TEXT", "istio-envoy", FOR_RUN, option_read_text, AT(proxy.server_header), 0, 0,
     "The `server` header of responses."},
    {"access-log", 0, "PATH|-|off", "-", FOR_RUN, option_read_text, AT(access_log), 0, 0,
     "Where a line a request goes: a file, `-` for standard output, or `off`. SIGUSR1 reopens a file."},
    {"access-log-format", 0, "FORMAT|json", NULL, FOR_RUN, option_read_text, AT(access_log_format), 0, 0,
     "The form of the line: a format with operators such as `%RESPONSE_CODE%`, `json`, or a JSON object of formats. Default: Istio's text format."},
    {"admin", 0, "ADDR:PORT", "127.0.0.1:15000", FOR_RUN, option_read_admin, 0, 0, 0,
     "Where /ready, /live, /metrics, /config_dump, /clusters, /names and /logging are served; `none` or `off`: nowhere; port 0: the kernel chooses (the log names it)."},
    {"max-connections", 0, "N", "50000", FOR_RUN, option_read_count, AT(proxy.connections_max), 1, 10000000,
     "Client connections a worker holds at once; one more is closed. Lowered to what the limit of open files allows."},
    {"max-header-bytes", 0, "BYTES", "60Ki", FOR_RUN, option_read_bytes32, AT(proxy.head_bytes_max), 1024, 61440,
     "The largest head of a request (431 above it)."},
    {"max-target-bytes", 0, "BYTES", "16Ki", FOR_RUN, option_read_bytes32, AT(proxy.target_bytes_max), 128, 61440,
     "The longest request target (414 above it)."},
    {"max-headers", 0, "N", "100", FOR_RUN, option_read_count, AT(proxy.headers_max), 1, HEADERS_MAX,
     "The most header fields in a request (431 above it)."},
    {"greeting-timeout", 0, "DURATION", "15s", FOR_RUN, option_read_duration, AT(proxy.greeting_timeout_ms), 1, DAY_MS,
     "For all that comes before a connection's first request: PROXY header, TLS handshake."},
    {"request-head-timeout", 0, "DURATION", "60s", FOR_RUN, option_read_duration, AT(proxy.request_head_timeout_ms), 1, DAY_MS,
     "From the first byte of a request's head to its end."},
    {"keepalive-timeout", 0, "DURATION", "75s", FOR_RUN, option_read_duration, AT(proxy.keepalive_timeout_ms), 1, DAY_MS,
     "How long a client's connection may wait for its next request."},
    {"idle-timeout", 0, "DURATION", "300s", FOR_RUN, option_read_duration, AT(proxy.stream_idle_timeout_ms), 1, DAY_MS,
     "How long a request may pass without a byte in either direction."},
    {"tunnel-timeout", 0, "DURATION", "1h", FOR_RUN, option_read_duration, AT(proxy.tunnel_idle_timeout_ms), 1, DAY_MS,
     "The same for upgraded (WebSocket) and TCP connections."},
    {"connect-timeout", 0, "DURATION", "10s", FOR_RUN, option_read_duration, AT(proxy.connect_timeout_ms), 1, DAY_MS,
     "For opening a connection to an endpoint, where no manifest names another."},
    {"upstream-idle-timeout", 0, "DURATION", "60s", FOR_RUN, option_read_duration, AT(proxy.upstream_idle_timeout_ms), 1, DAY_MS,
     "How long an unused connection to an endpoint is kept, where no manifest names another."},
    {"detect-timeout", 0, "DURATION", "200ms", FOR_RUN | FOR_SIDECAR, option_read_duration, AT(proxy.detect_timeout_ms), 1, DAY_MS,
     "In a sidecar: how long the first byte of a connection is awaited whose protocol is not declared; then it is TCP in which the server begins."},
    {"upstream-mark", 0, "MARK", NULL, FOR_RUN | FOR_CAPTURE, option_read_mark, AT(proxy.upstream_mark), 0, 0,
     "The mark (SO_MARK) of connections to endpoints, so that capture leaves them alone; 0: none. Default: 0; in a sidecar and for capture 0x539."},
    {"warm-connections", 0, "N", "1", FOR_RUN, option_read_count, AT(proxy.warm_connections), 0, 100,
     "Connections to each endpoint outside the cluster that are kept open while it is in use, so that the next request needs no handshake: N, or as many as were used at once in the last minutes, up to 8. 0: none are opened before a request needs them."},
    {"warm-time", 0, "DURATION", "10m", FOR_RUN, option_read_duration, AT(proxy.warm_time_ms), 1, DAY_MS,
     "How long after its last request an endpoint counts as in use."},
    {"linger-timeout", 0, "DURATION", "2s", FOR_RUN, option_read_duration, AT(proxy.linger_timeout_ms), 1, DAY_MS,
     "How long the rest of a request is read and dropped after an early answer."},
    {"drain-timeout", 0, "DURATION", "45s", FOR_RUN, option_read_duration, AT(drain_timeout_ms), 0, DAY_MS,
     "How long requests and tunnels may go on after SIGTERM or SIGINT."},
    {"tls-records", 0, "own|openssl", "own", FOR_RUN, option_read_tls_records, 0, 0, 0,
     "Who encrypts and derives keys on clients' connections with TLS 1.3 after the handshake: this program, with the ciphers of OpenSSL, or OpenSSL alone."},
    {"dns-server", 0, "ADDR:PORT,...", NULL, FOR_RUN, option_read_text, AT(dns_server), 0, 0,
     "Asks these servers instead of the system's for names outside the cluster; [ADDR]:PORT for IPv6."},
    {"log-level", 0, "LEVEL", "info", FOR_RUN, option_read_log_level, 0, 0, 0,
     "error, warning, info or debug; /logging of the admin server changes it while running."},

    // capture, and run --capture
    {"capture", 0, NULL, NULL, FOR_RUN | FOR_SIDECAR, option_read_switch, AT(has_capture), 0, 0,
     "In a sidecar: captures connections by rules of its own (nftables, needs the capability NET_ADMIN) that the kernel removes when the process ends, however it ends. Without it, rules of `sluicegate capture up` are kept in force."},
    {"mode", 0, "redirect|tproxy", "redirect", FOR_CAPTURE, option_read_capture_mode, 0, 0, 0,
     "How a connection is led to the sidecar: by nat, or by policy routing to a transparent socket."},
    {"fail", 0, "open|closed", "open", FOR_CAPTURE, option_read_fail, 0, 0, 0,
     "What becomes of new connections while no sidecar runs: they pass directly, or they are refused."},
    {"fail-open-after", 0, "DURATION", "3s", FOR_CAPTURE, option_read_duration, AT(capture.fail_open_ms), 2000, MS(3600),
     "With `--fail open`: how long after a sidecar's last sign of life, of which it gives one a second, connections pass directly."},
    {"uid", 0, "ID,...|none", "1337", FOR_CAPTURE, option_read_ids, AT(capture.uids), 0, 0,
     "Users whose connections are not captured: the sidecar's own. Numbers."},
    {"gid", 0, "ID,...|none", "none", FOR_CAPTURE, option_read_ids, AT(capture.gids), 0, 0,
     "Groups whose connections are not captured."},
    {"capture-uid", 0, "ID,...|none", "1337", FOR_RUN | FOR_HELD, option_read_ids, AT(capture.uids), 0, 0,
     "With --capture: users whose connections are not captured: the sidecar's own, if they have no mark. Numbers."},
    {"capture-gid", 0, "ID,...|none", "none", FOR_RUN | FOR_HELD, option_read_ids, AT(capture.gids), 0, 0,
     "With --capture: groups whose connections are not captured."},
    {"include-cidrs", 0, "CIDR,...|*|none", "*", FOR_CAPTURE | FOR_RUN | FOR_HELD, option_read_subnets_or_all, AT(capture.include_subnets), 0, 0,
     "The destinations that are captured on the way out (Istio's includeOutboundIPRanges)."},
    {"exclude-cidrs", 0, "CIDR,...|none", "none", FOR_CAPTURE | FOR_RUN | FOR_HELD, option_read_subnets, AT(capture.exclude_subnets), 0, 0,
     "Destinations that are not, also where --include-cidrs has them (excludeOutboundIPRanges)."},
    {"include-outbound-ports", 0, "PORT,...|none", "none", FOR_CAPTURE | FOR_RUN | FOR_HELD, option_read_ports, AT(capture.include_outbound_ports), 0, 0,
     "Ports that are captured on the way out whatever the destination (includeOutboundPorts). Port 53 is captured only when it is named here."},
    {"exclude-outbound-ports", 0, "PORT,...|none", "none", FOR_CAPTURE | FOR_RUN | FOR_HELD, option_read_ports, AT(capture.exclude_outbound_ports), 0, 0,
     "Ports that are never captured on the way out (excludeOutboundPorts)."},
    {"include-inbound-ports", 0, "PORT,...|*|none", "*", FOR_CAPTURE | FOR_RUN | FOR_HELD, option_read_ports_or_all, AT(capture.include_inbound_ports), 0, 0,
     "Ports of the application whose connections are captured on the way in (includeInboundPorts)."},
    {"exclude-inbound-ports", 0, "PORT,...|none", "none", FOR_CAPTURE | FOR_RUN | FOR_HELD, option_read_ports, AT(capture.exclude_inbound_ports), 0, 0,
     "Ports that are not (excludeInboundPorts), beside the sidecar's own: 15000, 15001, 15006, 15020, 15021, 15090."},

    // docs
    {"dir", 0, "DIR", NULL, FOR_DOCS, option_read_text, AT(docs_dir), 0, 0,
     "Writes every page to this folder."},
    {"check", 0, NULL, NULL, FOR_DOCS, option_read_switch, AT(docs_check), 0, 0,
     "With --dir: writes nothing, exits 1 when a page in the folder differs from what would be written."},
};
// clang-format on
enum { N_ROWS = sizeof rows / sizeof *rows };

static const struct option_row *find_row(unsigned subcommand, struct str name)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].subcommands & subcommand && str_is(name, rows[i].name))
            return &rows[i];
    }
    return NULL;
}

static const struct option_row *find_letter(unsigned subcommand, char letter)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].subcommands & subcommand && rows[i].letter && rows[i].letter == letter)
            return &rows[i];
    }
    return NULL;
}

static void report_unknown(unsigned subcommand, struct str name, struct buf *reterr)
{
    buf_printf(reterr, "unknown option --%.*s", STR_ARG(name));
    struct str names[N_ROWS + 1];
    size_t n = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].subcommands & subcommand)
            names[n++] = str_of(rows[i].name);
    }
    names[n++] = STR("help");
    struct str nearest = diag_nearest(name, names, n);
    if (nearest.len > 0)
        buf_printf(reterr, "; did you mean --%.*s?", STR_ARG(nearest));
}

static void set_defaults(struct options *options)
{
    proxy_options_default(&options->proxy);
    for (size_t i = 0; i < N_ROWS; i++) {
        struct buf error = {0};
        if (rows[i].preset)
            CHECK(rows[i].read(options, &rows[i], str_of(rows[i].preset), &error));
    }
}

static void add_word(struct options *options, const char *word)
{
    const char **more = realloc(options->words, (options->n_words + 1) * sizeof *more);
    CHECK(more != NULL);
    options->words = more;
    options->words[options->n_words++] = word;
}

// Capture and the sidecar share options, and must agree about them.
static void settle_capture(struct options *options)
{
    struct capture_options *capture = &options->capture;
    capture->mode = options->compile.is_transparent ? CAPTURE_TPROXY : CAPTURE_REDIRECT;
    capture->outbound_port = options->compile.outbound_port;
    capture->inbound_port = options->compile.inbound_port;
    capture->upstream_mark = options->proxy.upstream_mark;
    if (options->has_capture)
        capture->life = CAPTURE_HELD;
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

// What is due once all options are read: defaults that depend on others, and what excludes others.
static bool settle(struct options *options, unsigned subcommand, struct buf *reterr)
{
    struct compile_options *compile = &options->compile;
    bool is_capture = subcommand & FOR_CAPTURE;
    if ((compile->is_sidecar || is_capture) && !options->has_upstream_mark)
        options->proxy.upstream_mark = SIDECAR_UPSTREAM_MARK;
    settle_capture(options);
    if (is_capture)
        return true;
    if (!options->has_capture && options->first_of_held) {
        buf_printf(reterr, "--%s is about capture: --capture is missing", options->first_of_held);
        return false;
    }
    if (!compile->is_sidecar && options->first_of_sidecar) {
        buf_printf(reterr, "--%s is for a sidecar: --sidecar is missing",
                   options->first_of_sidecar);
        return false;
    }
    if (compile->is_sidecar && (options->n_proxy_ports > 0 || compile->has_proxy_everywhere)) {
        buf_add_text(reterr, "--proxy-protocol is not for a sidecar: in front of captured "
                             "connections stands no PROXY header");
        return false;
    }
    if (compile->is_sidecar && compile->outbound_port == compile->inbound_port) {
        if (compile->outbound_port == 0)
            buf_add_text(reterr, "--outbound-port and --inbound-port are both 0: nothing is served");
        else
            buf_printf(reterr, "--outbound-port and --inbound-port are both %u",
                       (unsigned)compile->outbound_port);
        return false;
    }
    if (compile->bind.family == AF_UNSPEC)
        address_parse_ip(compile->is_sidecar && has_ipv6() ? STR("::") : STR("0.0.0.0"),
                         &compile->bind);
    if (compile->ns.len == 0)
        compile->ns = compile->is_sidecar ? STR("default") : STR("istio-system");
    return true;
}

// One step over argv: *at stands on an argument that begins with '-'; moves behind it and its
// value.
static enum options_result parse_option(struct options *options, unsigned subcommand, int argc,
                                        char *const *argv, int *at, struct buf *reterr)
{
    struct str argument = str_of(argv[(*at)++]);
    if (str_is(argument, "--help") || str_is(argument, "-h"))
        return OPTIONS_HELP;
    bool is_long = str_has_prefix(argument, STR("--"));
    struct str name = str_from(argument, 2), value = STR_NONE;
    bool has_value = false;
    const struct option_row *row;
    if (is_long) {
        ptrdiff_t equals = str_index(name, '=');
        if (equals >= 0) {
            value = str_from(name, (size_t)equals + 1);
            name = str_upto(name, (size_t)equals);
            has_value = true;
        }
        row = find_row(subcommand, name);
        if (!row) {
            report_unknown(subcommand, name, reterr);
            return OPTIONS_ERROR;
        }
    } else {
        row = find_letter(subcommand, argument.ptr[1]);
        if (!row) {
            buf_printf(reterr, "unknown option %.*s", STR_ARG(argument));
            return OPTIONS_ERROR;
        }
        has_value = name.len > 0; // -fPATH
        value = name;
    }
    if (row->argument == NULL && has_value) {
        buf_printf(reterr, "--%s takes no value", row->name);
        return OPTIONS_ERROR;
    }
    if (row->argument != NULL && !has_value) {
        if (*at == argc) {
            buf_printf(reterr, "--%s needs a value (%s)", row->name, row->argument);
            return OPTIONS_ERROR;
        }
        value = str_of(argv[(*at)++]);
    }
    if (row->subcommands & FOR_SIDECAR && !options->first_of_sidecar)
        options->first_of_sidecar = row->name;
    if (row->subcommands & FOR_HELD && subcommand & FOR_RUN && !options->first_of_held)
        options->first_of_held = row->name;
    struct buf why = {0};
    bool is_read = row->read(options, row, value, &why);
    if (!is_read)
        buf_printf(reterr, "--%s: %.*s", row->name, STR_ARG(buf_str(&why)));
    buf_fini(&why);
    return is_read ? OPTIONS_OK : OPTIONS_ERROR;
}

enum options_result options_parse(struct options *options, unsigned subcommand, size_t words_max,
                                  int argc, char *const *argv, struct buf *reterr)
{
    *options = (struct options){0};
    set_defaults(options);
    for (int at = 0; at < argc;) {
        if (argv[at][0] == '-' && argv[at][1] != '\0') {
            enum options_result result = parse_option(options, subcommand, argc, argv, &at, reterr);
            if (result != OPTIONS_OK)
                return result;
            continue;
        }
        if (options->n_words == words_max) {
            buf_printf(reterr, "unexpected argument \"%s\"%s%s", argv[at],
                       subcommand & FOR_MODEL ? "; did you mean -f " : "",
                       subcommand & FOR_MODEL ? argv[at] : "");
            return OPTIONS_ERROR;
        }
        add_word(options, argv[at++]);
    }
    if (subcommand & FOR_MODEL && options->n_paths == 0) {
        buf_add_text(reterr, "nothing to read: name a manifest or a folder with -f PATH");
        return OPTIONS_ERROR;
    }
    if (!settle(options, subcommand, reterr))
        return OPTIONS_ERROR;
    options->compile.port_maps = options->port_maps;
    options->compile.n_port_maps = (uint32_t)options->n_port_maps;
    options->compile.proxy_ports = options->proxy_ports;
    options->compile.n_proxy_ports = (uint32_t)options->n_proxy_ports;
    options->compile.labels = options->labels;
    options->compile.n_labels = (uint32_t)options->n_labels;
    return OPTIONS_OK;
}

void options_fini(struct options *options)
{
    for (size_t i = 0; i < options->n_labels; i++)
        free((char *)options->labels[i].key.ptr); // key and value are one allocation
    capture_options_fini(&options->capture);
    free(options->labels);
    free(options->port_maps);
    free(options->proxy_ports);
    free(options->paths);
    free(options->words);
    *options = (struct options){0};
}

// "-f, --filename PATH"
static void print_form(const struct option_row *row, struct buf *out)
{
    if (row->letter)
        buf_printf(out, "-%c, ", row->letter);
    buf_printf(out, "--%s", row->name);
    if (row->argument)
        buf_printf(out, " %s", row->argument);
}

// Adds `text` without its backquotes, broken at `width` columns, each line behind `indent` blanks.
static void print_wrapped(const char *text, int indent, size_t width, struct buf *out)
{
    size_t column = 0;
    struct str rest = str_of(text), word;
    while (str_next(&rest, ' ', &word)) {
        if (column == 0 || column + 1 + word.len > width) {
            buf_printf(out, "%s%*s", column ? "\n" : "", indent, "");
            column = 0;
        } else {
            buf_add_char(out, ' ');
            column++;
        }
        for (size_t i = 0; i < word.len; i++) {
            if (word.ptr[i] != '`')
                buf_add_char(out, word.ptr[i]);
        }
        column += word.len;
    }
    buf_add_char(out, '\n');
}

void options_print_help(unsigned subcommand, struct buf *out)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!(rows[i].subcommands & subcommand))
            continue;
        buf_add_text(out, "  ");
        print_form(&rows[i], out);
        if (rows[i].preset)
            buf_printf(out, "  (default %s)", rows[i].preset);
        buf_add_char(out, '\n');
        print_wrapped(rows[i].sentence, 8, 84, out);
    }
}

void options_print_reference(unsigned subcommand, struct buf *out)
{
    bool is_first = true;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!(rows[i].subcommands & subcommand))
            continue;
        if (is_first)
            buf_add_text(out, "| option | default | meaning |\n|---|---|---|\n");
        is_first = false;
        buf_add_text(out, "| `");
        struct buf form = {0};
        print_form(&rows[i], &form);
        for (size_t k = 0; k < form.len; k++) { // a bar would end the table's cell
            if (form.data[k] == '|')
                buf_add_char(out, '\\');
            buf_add_char(out, form.data[k]);
        }
        buf_fini(&form);
        buf_printf(out, "` | %s%s%s | %s |\n", rows[i].preset ? "`" : "",
                   rows[i].preset ? rows[i].preset : "", rows[i].preset ? "`" : "",
                   rows[i].sentence);
    }
}
