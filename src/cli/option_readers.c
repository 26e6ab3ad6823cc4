// SPDX-License-Identifier: Apache-2.0
#include "cli/option_readers.h"
#include "base/check.h"
#include <sched.h>
#include <stdlib.h>

enum { WORKERS_MAX = 256 };

static void *place_of(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

// The array with room for one more; arrays grow by one, for they are as long as a command line.
static void *grown(void *items, size_t n, size_t item_bytes)
{
    void *more = realloc(items, (n + 1) * item_bytes);
    CHECK(more != NULL);
    return more;
}

static bool refuse(struct buf *reterr, struct str value, const char *allowed)
{
    buf_printf(reterr, "\"%.*s\" is not %s", STR_ARG(value), allowed);
    return false;
}

bool option_read_text(struct options *options, const struct option_row *row, struct str value,
                      struct buf *reterr)
{
    if (value.len == 0) {
        buf_printf(reterr, "needs a value (%s)", row->argument);
        return false;
    }
    *(struct str *)place_of(options, row) = value;
    return true;
}

bool option_read_secret(struct options *options, const struct option_row *row, struct str value,
                        struct buf *reterr)
{
    ptrdiff_t slash = str_index(value, '/');
    if (slash <= 0 || (size_t)slash + 1 == value.len ||
        str_index(str_from(value, (size_t)slash + 1), '/') >= 0)
        return refuse(reterr, value, "of the form NAMESPACE/NAME");
    *(struct str *)place_of(options, row) = value;
    return true;
}

bool option_read_tls_version(struct options *options, const struct option_row *row,
                             struct str value, struct buf *reterr)
{
    static const char *const words[] = {"1.0", "1.1", "1.2", "1.3"};
    (void)row;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_is(value, words[i])) {
            options->compile.tls_version_min = (uint16_t)(TLS_VERSION_1_0 + i);
            return true;
        }
    }
    return refuse(reterr, value, "1.0, 1.1, 1.2 or 1.3");
}

static bool read_tls_list(struct options *options, const struct option_row *row, struct str value,
                          const struct tls_common *common, struct buf *reterr)
{
    struct tls_error error = {0};
    if (!tls_check_common(common, &error)) {
        buf_printf(reterr, "%s", error.message);
        return false;
    }
    *(struct str *)place_of(options, row) = value;
    return true;
}

bool option_read_tls_ciphers(struct options *options, const struct option_row *row,
                             struct str value, struct buf *reterr)
{
    return read_tls_list(options, row, value, &(struct tls_common){.ciphers = value}, reterr);
}

bool option_read_tls_curves(struct options *options, const struct option_row *row, struct str value,
                            struct buf *reterr)
{
    return read_tls_list(options, row, value, &(struct tls_common){.curves = value}, reterr);
}

bool option_read_hsts(struct options *options, const struct option_row *row, struct str value,
                      struct buf *reterr)
{
    (void)row;
    bool is_off = str_is(value, "off");
    for (size_t i = 0; i < value.len; i++) {
        // A percent would begin an operator.
        if (value.ptr[i] < ' ' || value.ptr[i] > '~' || value.ptr[i] == '%')
            return refuse(reterr, value, "a header's value, or off");
    }
    options->compile.hsts = is_off ? STR_NONE : value;
    return true;
}

bool option_read_switch(struct options *options, const struct option_row *row, struct str value,
                        struct buf *reterr)
{
    (void)value;
    (void)reterr;
    *(bool *)place_of(options, row) = true;
    return true;
}

bool option_read_count(struct options *options, const struct option_row *row, struct str value,
                       struct buf *reterr)
{
    uint64_t number;
    if (!str_to_u64(value, row->max, &number) || number < row->min) {
        buf_printf(reterr, "\"%.*s\" is not a number from %llu to %llu", STR_ARG(value),
                   (unsigned long long)row->min, (unsigned long long)row->max);
        return false;
    }
    *(uint32_t *)place_of(options, row) = (uint32_t)number;
    return true;
}

bool option_read_port(struct options *options, const struct option_row *row, struct str value,
                      struct buf *reterr)
{
    uint64_t number;
    if (!str_to_u64(value, UINT16_MAX, &number))
        return refuse(reterr, value, "a port (0 to 65535; 0: the kernel chooses)");
    *(uint16_t *)place_of(options, row) = (uint16_t)number;
    return true;
}

static bool parse_bytes(struct str value, uint64_t *ret_bytes)
{
    static const struct {
        struct str suffix;
        unsigned shift;
    } units[] = {
        {{"KiB", 3}, 10}, {{"MiB", 3}, 20}, {{"GiB", 3}, 30},
        {{"Ki", 2}, 10},  {{"Mi", 2}, 20},  {{"Gi", 2}, 30},
    };
    unsigned shift = 0;
    for (size_t i = 0; i < sizeof units / sizeof *units && shift == 0; i++) {
        if (str_has_suffix(value, units[i].suffix)) {
            shift = units[i].shift;
            value = str_upto(value, value.len - units[i].suffix.len);
        }
    }
    uint64_t number;
    if (!str_to_u64(value, UINT64_MAX >> shift, &number))
        return false;
    *ret_bytes = number << shift;
    return true;
}

static bool parse_bytes_of(const struct option_row *row, struct str value, uint64_t *ret_bytes,
                           struct buf *reterr)
{
    if (!parse_bytes(value, ret_bytes))
        return refuse(reterr, value, "a number of bytes (1048576, 1024Ki or 1Mi)");
    if (*ret_bytes >= row->min && *ret_bytes <= row->max)
        return true;
    buf_printf(reterr, "\"%.*s\" is not within %llu and %llu bytes", STR_ARG(value),
               (unsigned long long)row->min, (unsigned long long)row->max);
    return false;
}

bool option_read_bytes(struct options *options, const struct option_row *row, struct str value,
                       struct buf *reterr)
{
    return parse_bytes_of(row, value, place_of(options, row), reterr);
}

bool option_read_bytes32(struct options *options, const struct option_row *row, struct str value,
                         struct buf *reterr)
{
    CHECK(row->max <= UINT32_MAX);
    uint64_t bytes;
    if (!parse_bytes_of(row, value, &bytes, reterr))
        return false;
    *(uint32_t *)place_of(options, row) = (uint32_t)bytes;
    return true;
}

// Go's durations, as Kubernetes and Istio write them: numbers with a unit each, largest first or
// not ("1h30m", "1.5s"); a plain 0 needs none.
static bool parse_duration(struct str text, uint64_t *ret_ms)
{
    if (str_is(text, "0")) {
        *ret_ms = 0;
        return true;
    }
    double total = 0;
    size_t i = 0;
    while (i < text.len) {
        double number = 0, scale = 1;
        size_t digits = 0;
        bool in_fraction = false;
        for (; i < text.len; i++) {
            char c = text.ptr[i];
            if (c == '.' && !in_fraction) {
                in_fraction = true;
                continue;
            }
            if (c < '0' || c > '9')
                break;
            if (++digits > 15)
                return false;
            number = number * 10 + (c - '0');
            scale *= in_fraction ? 10 : 1;
        }
        struct str unit = str_from(text, i);
        double unit_ms = str_has_prefix(unit, STR("ms"))  ? 1
                         : str_has_prefix(unit, STR("s")) ? 1000
                         : str_has_prefix(unit, STR("m")) ? 60000
                         : str_has_prefix(unit, STR("h")) ? 3600000
                                                          : 0;
        if (digits == 0 || unit_ms == 0)
            return false;
        i += unit_ms == 1 ? 2 : 1;
        total += number / scale * unit_ms;
    }
    if (text.len == 0 || total > UINT32_MAX)
        return false;
    *ret_ms = (uint64_t)(total + 0.5);
    return true;
}

bool option_read_duration(struct options *options, const struct option_row *row, struct str value,
                          struct buf *reterr)
{
    uint64_t ms;
    if (!parse_duration(value, &ms))
        return refuse(reterr, value, "a duration (500ms, 45s, 1m30s, 1h)");
    if (ms < row->min || ms > row->max) {
        buf_printf(reterr, "\"%.*s\" is not within %llu ms and %llu ms", STR_ARG(value),
                   (unsigned long long)row->min, (unsigned long long)row->max);
        return false;
    }
    *(uint32_t *)place_of(options, row) = (uint32_t)ms;
    return true;
}

bool option_read_ip(struct options *options, const struct option_row *row, struct str value,
                    struct buf *reterr)
{
    if (!address_parse_ip(value, place_of(options, row)))
        return refuse(reterr, value, "an IP address (0.0.0.0, 127.0.0.1, ::)");
    return true;
}

bool option_read_path(struct options *options, const struct option_row *row, struct str value,
                      struct buf *reterr)
{
    if (value.len == 0) {
        buf_printf(reterr, "needs a value (%s)", row->argument);
        return false;
    }
    options->paths = grown(options->paths, options->n_paths, sizeof *options->paths);
    options->paths[options->n_paths++] = value.ptr; // argv's: NUL-terminated
    return true;
}

// Cuts the next part off a list with commas; a part may be empty. NULL in rest->ptr: the end.
static bool next_part(struct str *rest, struct str *ret_part)
{
    if (!rest->ptr)
        return false;
    ptrdiff_t comma = str_index(*rest, ',');
    *ret_part = comma < 0 ? *rest : str_upto(*rest, (size_t)comma);
    *rest = comma < 0 ? STR_NONE : str_from(*rest, (size_t)comma + 1);
    return true;
}

bool option_read_proxy_ports(struct options *options, const struct option_row *row,
                             struct str value, struct buf *reterr)
{
    (void)row;
    struct str rest = value, part;
    if (str_is(value, "all")) {
        options->compile.has_proxy_everywhere = true;
        return true;
    }
    while (next_part(&rest, &part)) {
        uint64_t port;
        if (!str_to_u64(part, UINT16_MAX, &port) || port == 0)
            return refuse(reterr, value, "a list of ports (80,443) or all");
        options->proxy_ports =
            grown(options->proxy_ports, options->n_proxy_ports, sizeof *options->proxy_ports);
        options->proxy_ports[options->n_proxy_ports++] = (uint16_t)port;
    }
    return true;
}

bool option_read_port_map(struct options *options, const struct option_row *row, struct str value,
                          struct buf *reterr)
{
    (void)row;
    struct str rest = value, part;
    while (next_part(&rest, &part)) {
        ptrdiff_t at = str_index(part, '=');
        uint64_t from, to;
        if (at < 0 || !str_to_u64(str_upto(part, (size_t)at), UINT16_MAX, &from) || from == 0 ||
            !str_to_u64(str_from(part, (size_t)at + 1), UINT16_MAX, &to))
            return refuse(reterr, value, "of the form FROM=TO with ports (80=8080)");
        for (size_t i = 0; i < options->n_port_maps; i++) {
            if (options->port_maps[i].from == from) {
                buf_printf(reterr, "port %u is mapped twice", (unsigned)from);
                return false;
            }
        }
        options->port_maps =
            grown(options->port_maps, options->n_port_maps, sizeof *options->port_maps);
        options->port_maps[options->n_port_maps++] =
            (struct port_map){(uint16_t)from, (uint16_t)to};
    }
    return true;
}

bool option_read_labels(struct options *options, const struct option_row *row, struct str value,
                        struct buf *reterr)
{
    (void)row;
    struct str rest = value, part;
    while (next_part(&rest, &part)) {
        ptrdiff_t at = str_index(part, '=');
        if (at <= 0)
            return refuse(reterr, value, "of the form KEY=VALUE[,KEY=VALUE...]");
        struct str key = str_upto(part, (size_t)at), text = str_from(part, (size_t)at + 1);
        options->labels = grown(options->labels, options->n_labels, sizeof *options->labels);
        // struct text promises a NUL behind the value.
        char *copies = malloc(key.len + text.len + 2);
        CHECK(copies != NULL);
        memcpy(copies, key.ptr, key.len);
        copies[key.len] = '\0';
        memcpy(copies + key.len + 1, text.ptr, text.len);
        copies[key.len + 1 + text.len] = '\0';
        options->labels[options->n_labels++] = (struct text_pair){
            .key = {.ptr = copies, .len = (uint32_t)key.len},
            .value = {.ptr = copies + key.len + 1, .len = (uint32_t)text.len},
        };
    }
    return true;
}

bool option_read_admin(struct options *options, const struct option_row *row, struct str value,
                       struct buf *reterr)
{
    (void)row;
    options->has_admin = !str_is(value, "none") && !str_is(value, "off");
    if (options->has_admin && !address_parse(value, &options->admin))
        return refuse(reterr, value, "ADDR:PORT (127.0.0.1:15000) or none");
    return true;
}

bool option_read_workers(struct options *options, const struct option_row *row, struct str value,
                         struct buf *reterr)
{
    uint64_t number;
    if (!str_to_u64(value, WORKERS_MAX, &number)) {
        (void)row;
        buf_printf(reterr, "\"%.*s\" is not a number from 0 to %d (0: one a core)", STR_ARG(value),
                   WORKERS_MAX);
        return false;
    }
    if (number == 0) { // the cores that this process may use, not those of the machine
        cpu_set_t set;
        number = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
        if (number > WORKERS_MAX)
            number = WORKERS_MAX;
    }
    options->proxy.n_workers = (unsigned)number;
    return true;
}

bool option_read_log_level(struct options *options, const struct option_row *row, struct str value,
                           struct buf *reterr)
{
    (void)row;
    char name[16];
    if (value.len >= sizeof name)
        return refuse(reterr, value, "error, warning, info or debug");
    memcpy(name, value.ptr, value.len);
    name[value.len] = '\0';
    if (!log_level_parse(name, &options->log_level))
        return refuse(reterr, value, "error, warning, info or debug");
    return true;
}

bool option_read_tls_records(struct options *options, const struct option_row *row,
                             struct str value, struct buf *reterr)
{
    (void)row;
    if (!str_is(value, "own") && !str_is(value, "openssl"))
        return refuse(reterr, value, "own or openssl");
    options->tls_records = str_is(value, "own") ? TLS_RECORDS_OWN : TLS_RECORDS_OPENSSL;
    return true;
}

bool option_read_outbound_policy(struct options *options, const struct option_row *row,
                                 struct str value, struct buf *reterr)
{
    (void)row;
    bool allows_any = str_is(value, "ALLOW_ANY");
    if (!allows_any && !str_is(value, "REGISTRY_ONLY"))
        return refuse(reterr, value, "ALLOW_ANY or REGISTRY_ONLY");
    options->compile.outbound_policy = allows_any ? OUTBOUND_ALLOW_ANY : OUTBOUND_REGISTRY_ONLY;
    return true;
}

bool option_read_capture_port(struct options *options, const struct option_row *row,
                              struct str value, struct buf *reterr)
{
    uint64_t number;
    if (!str_to_u64(value, UINT16_MAX, &number))
        return refuse(reterr, value, "a port (1 to 65535), or 0 for none");
    *(uint16_t *)place_of(options, row) = (uint16_t)number;
    return true;
}

bool option_read_capture_mode(struct options *options, const struct option_row *row,
                              struct str value, struct buf *reterr)
{
    (void)row;
    bool is_transparent = str_is(value, "tproxy");
    if (!is_transparent && !str_is(value, "redirect"))
        return refuse(reterr, value, "redirect or tproxy");
    options->compile.is_transparent = is_transparent;
    return true;
}

static bool parse_hex(struct str text, uint32_t *ret)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 8)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        bool is_letter = c >= 'a' && c <= 'f';
        if (!is_letter && (c < '0' || c > '9'))
            return false;
        value = value * 16 + (unsigned)(is_letter ? c - 'a' + 10 : c - '0');
    }
    *ret = (uint32_t)value;
    return true;
}

bool option_read_mark(struct options *options, const struct option_row *row, struct str value,
                      struct buf *reterr)
{
    uint64_t number = 0;
    uint32_t *mark = place_of(options, row);
    if (str_has_prefix(value, STR("0x"))) {
        if (!parse_hex(str_from(value, 2), mark))
            return refuse(reterr, value, "a mark of 32 bits (0x539 or 1337)");
    } else {
        if (!str_to_u64(value, UINT32_MAX, &number))
            return refuse(reterr, value, "a mark of 32 bits (0x539 or 1337)");
        *mark = (uint32_t)number;
    }
    options->has_upstream_mark = true;
    return true;
}
