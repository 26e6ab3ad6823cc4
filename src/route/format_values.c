// SPDX-License-Identifier: Apache-2.0
#include "route/format_values.h"

#include "http/uri.h"
#include "route/format_write.h"
#include <stddef.h>

static bool give_text(struct str text, struct value *ret)
{
    ret->text = text;
    ret->is_number = false;
    return text.len > 0;
}

static bool give_number(int64_t number, struct value *ret)
{
    ret->number = number;
    ret->is_number = true;
    return true;
}

// ---- headers ----

// Patches of a name stand for all fields of that name: what is not removed among them is what is
// sent, and of several values the first counts. false: no patch speaks of this name.
static bool find_patch(const struct header_patch *patches, unsigned n_patches, struct str name,
                       bool *ret_is_present, struct str *ret)
{
    bool is_found = false;
    *ret_is_present = false;
    for (unsigned i = 0; i < n_patches; i++) {
        const struct header_patch *patch = &patches[i];
        if (patch->name.len != name.len || memcmp(patch->name.ptr, name.ptr, name.len) != 0)
            continue;
        is_found = true;
        if (!patch->is_removed) {
            *ret_is_present = true;
            *ret = patch->value;
            break;
        }
    }
    return is_found;
}

static bool find_in_list(const struct header_list *list, struct str name, uint8_t id,
                         struct str *ret)
{
    if (!list)
        return false;
    const struct header *header;
    if (id == HEADER_OTHER)
        header = header_find(list, name);
    else
        header = header_get(list, (enum header_id)id);
    if (header && id == HEADER_X_ENVOY) // one id for all names of that family
        header = header_find(list, name);
    if (!header)
        return false;
    *ret = header->value;
    return true;
}

bool find_request_header(const struct header_argument *argument, const struct request_info *info,
                         struct str *ret)
{
    bool is_present;
    if (argument->source == SOURCE_FIELD) {
        memcpy(ret, (const char *)info + argument->offset, sizeof(*ret));
        return ret->len > 0;
    }
    if (find_patch(info->request_patches, info->n_request_patches, argument->name, &is_present,
                   ret))
        return is_present;
    if (argument->source == SOURCE_REQUEST_ID && info->request_id.len > 0) {
        *ret = info->request_id;
        return true;
    }
    return find_in_list(info->request, argument->name, argument->id, ret);
}

bool find_response_header(const struct header_argument *argument, const struct request_info *info,
                          struct str *ret)
{
    bool is_present;
    if (find_patch(info->response_patches, info->n_response_patches, argument->name, &is_present,
                   ret))
        return is_present;
    return find_in_list(info->response, argument->name, argument->id, ret);
}

bool find_trailer(struct str name, const struct request_info *info, struct str *ret)
{
    for (unsigned i = 0; i < info->n_trailers; i++) {
        if (str_equal_nocase(info->trailers[i].name, name)) {
            *ret = info->trailers[i].value;
            return true;
        }
    }
    return false;
}

// ---- path and query ----

enum { PATH_ORIGINAL_OR_CURRENT, PATH_ORIGINAL, PATH_CURRENT };

static struct str cut_query(struct str path)
{
    ptrdiff_t at = str_index(path, '?');
    return at < 0 ? path : str_upto(path, (size_t)at);
}

static bool split_query(struct str path, struct str *ret_query)
{
    ptrdiff_t at = str_index(path, '?');
    *ret_query = at < 0 ? STR_NONE : str_from(path, (size_t)at + 1);
    return at >= 0;
}

bool evaluate_path(const struct operation *operation, const struct request_info *info,
                   char *scratch, struct value *ret)
{
    struct str path = info->path;
    if (operation->choice == PATH_ORIGINAL ||
        (operation->choice == PATH_ORIGINAL_OR_CURRENT && info->original_path.len > 0))
        path = info->original_path;
    return give_text(operation->choice2 ? cut_query(path) : path, ret);
}

bool evaluate_query_parameter(const struct operation *operation, const struct request_info *info,
                              char *scratch, struct value *ret)
{
    struct str query, value;
    if (!split_query(info->path, &query) || !uri_query_get(query, operation->text, &value))
        return false;
    ret->text = value;
    ret->is_number = false;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Escapes of control characters stay as they are: a decoded line break would let a client write
// log lines of its own.
static struct str decode_query(struct str query, char *scratch)
{
    size_t len = 0;
    for (size_t i = 0; i < query.len && len < SCRATCH_BYTES; i++) {
        char c = query.ptr[i];
        if (c == '%' && i + 2 < query.len) {
            int high = hex_digit(query.ptr[i + 1]), low = hex_digit(query.ptr[i + 2]);
            int byte = high * 16 + low;
            if (high >= 0 && low >= 0 && byte >= 0x20 && byte != 0x7f) {
                c = (char)byte;
                i += 2;
            }
        }
        scratch[len++] = c;
    }
    return (struct str){scratch, len};
}

bool evaluate_query(const struct operation *operation, const struct request_info *info,
                    char *scratch, struct value *ret)
{
    struct str query;
    if (!split_query(info->path, &query))
        return false;
    return give_text(operation->choice ? decode_query(query, scratch) : query, ret);
}

// ---- the answer ----

bool evaluate_status(const struct operation *operation, const struct request_info *info,
                     char *scratch, struct value *ret)
{
    return give_number(info->status, ret);
}

bool evaluate_details(const struct operation *operation, const struct request_info *info,
                      char *scratch, struct value *ret)
{
    struct str details = info->details;
    if (operation->choice || str_index(details, ' ') < 0)
        return give_text(details, ret);
    details = str_upto(details, SCRATCH_BYTES);
    for (size_t i = 0; i < details.len; i++) {
        char c = details.ptr[i];
        scratch[i] = c == ' ' || (c >= '\t' && c <= '\r') ? '_' : c;
    }
    return give_text((struct str){scratch, details.len}, ret);
}

static bool give_flags(uint64_t flags, const struct str *names, char *scratch, struct value *ret)
{
    if (flags == 0)
        return false;
    struct format_out out = {.data = scratch, .cap = SCRATCH_BYTES};
    for (unsigned i = 0; i < FLAG_COUNT; i++) {
        if (!(flags & UINT64_C(1) << i))
            continue;
        if (out.len > 0)
            out_add_char(&out, ',');
        out_add(&out, names[i].ptr, names[i].len);
    }
    return give_text((struct str){scratch, out.len}, ret);
}

bool evaluate_flags(const struct operation *operation, const struct request_info *info,
                    char *scratch, struct value *ret)
{
    static const struct str names[] = {
#define X(id, name) {#id, sizeof(#id) - 1},
        RESPONSE_FLAGS(X)
#undef X
    };
    return give_flags(info->flags, names, scratch, ret);
}

bool evaluate_flags_long(const struct operation *operation, const struct request_info *info,
                         char *scratch, struct value *ret)
{
    static const struct str names[] = {
#define X(id, name) {name, sizeof(name) - 1},
        RESPONSE_FLAGS(X)
#undef X
    };
    return give_flags(info->flags, names, scratch, ret);
}

enum { GRPC_CAMEL, GRPC_SNAKE, GRPC_NUMBER };

bool evaluate_grpc_status(const struct operation *operation, const struct request_info *info,
                          char *scratch, struct value *ret)
{
    static const struct {
        const char *camel, *snake;
    } codes[] = {
        {"OK", "OK"},
        {"Canceled", "CANCELLED"},
        {"Unknown", "UNKNOWN"},
        {"InvalidArgument", "INVALID_ARGUMENT"},
        {"DeadlineExceeded", "DEADLINE_EXCEEDED"},
        {"NotFound", "NOT_FOUND"},
        {"AlreadyExists", "ALREADY_EXISTS"},
        {"PermissionDenied", "PERMISSION_DENIED"},
        {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
        {"FailedPrecondition", "FAILED_PRECONDITION"},
        {"Aborted", "ABORTED"},
        {"OutOfRange", "OUT_OF_RANGE"},
        {"Unimplemented", "UNIMPLEMENTED"},
        {"Internal", "INTERNAL"},
        {"Unavailable", "UNAVAILABLE"},
        {"DataLoss", "DATA_LOSS"},
        {"Unauthenticated", "UNAUTHENTICATED"},
    };
    static const struct header_argument name = {.name = {"grpc-status", 11}};
    struct str text;
    uint64_t code;
    if (!find_trailer(name.name, info, &text) && !find_response_header(&name, info, &text))
        return false;
    if (!str_to_u64(text, UINT32_MAX, &code))
        return give_text(text, ret);
    unsigned form = operation->row->parse ? operation->choice : GRPC_NUMBER;
    if (form == GRPC_NUMBER)
        return give_number((int64_t)code, ret);
    if (code >= sizeof(codes) / sizeof(codes[0]))
        return give_text(text, ret);
    return give_text(str_of(form == GRPC_SNAKE ? codes[code].snake : codes[code].camel), ret);
}

// A body has line breaks, a line of the log must not.
bool evaluate_local_reply_body(const struct operation *operation, const struct request_info *info,
                               char *scratch, struct value *ret)
{
    struct str body = str_upto(str_trim(info->local_reply_body), SCRATCH_BYTES);
    for (size_t i = 0; i < body.len; i++)
        scratch[i] = (unsigned char)body.ptr[i] < 0x20 ? ' ' : body.ptr[i];
    return give_text((struct str){scratch, body.len}, ret);
}

bool evaluate_log_type(const struct operation *operation, const struct request_info *info,
                       char *scratch, struct value *ret)
{
    return give_text(info->is_tcp ? STR("TcpConnectionEnd") : STR("DownstreamEnd"), ret);
}

// ---- ids ----

static uint64_t mix(uint64_t value) // the finisher of MurmurHash3: every bit reaches every other
{
    value = (value ^ value >> 33) * UINT64_C(0xff51afd7ed558ccd);
    value = (value ^ value >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

bool evaluate_unique_id(const struct operation *operation, const struct request_info *info,
                        char *scratch, struct value *ret)
{
    // Two of them in one line differ.
    uint64_t place = operation->index * UINT64_C(0x9e3779b97f4a7c15);
    write_uuid(scratch, mix(info->random + place), mix(info->random2 ^ place));
    return give_text((struct str){scratch, UUID_LEN}, ret);
}

bool evaluate_stream_id(const struct operation *operation, const struct request_info *info,
                        char *scratch, struct value *ret)
{
    static const struct header_argument request_id = {
        .name = {"x-request-id", 12}, .id = HEADER_X_REQUEST_ID, .source = SOURCE_REQUEST_ID};
    struct str id;
    if (!info->is_tcp && find_request_header(&request_id, info, &id) && id.len > 0)
        return give_text(id, ret);
    write_uuid(scratch, info->random, info->random2);
    return give_text((struct str){scratch, UUID_LEN}, ret);
}

bool evaluate_upstream_connection_id(const struct operation *operation,
                                     const struct request_info *info, char *scratch,
                                     struct value *ret)
{
    return info->upstream_connection_id && give_number((int64_t)info->upstream_connection_id, ret);
}

bool evaluate_connections_attempted(const struct operation *operation,
                                    const struct request_info *info, char *scratch,
                                    struct value *ret)
{
    struct format_out out = {.data = scratch, .cap = SCRATCH_BYTES};
    for (unsigned i = 0; i < info->n_upstream_connection_ids; i++) {
        if (i > 0)
            out_add_char(&out, ',');
        out_add_number(&out, (int64_t)info->upstream_connection_ids[i]);
    }
    return give_text((struct str){scratch, out.len < out.cap ? out.len : out.cap}, ret);
}

// ---- durations ----

enum { NS_PER_MS = 1000000 };

static bool give_elapsed(int64_t begin_ns, int64_t end_ns, int64_t unit_ns, struct value *ret)
{
    return begin_ns != 0 && end_ns != 0 && give_number((end_ns - begin_ns) / unit_ns, ret);
}

// To the last byte sent; a client that left before it got any is told by the end of the stream,
// which is when the line is due.
bool evaluate_duration(const struct operation *operation, const struct request_info *info,
                       char *scratch, struct value *ret)
{
    int64_t begin_ns = info->is_tcp ? info->connection_begin_ns : info->downstream_rx_begin_ns;
    int64_t end_ns = info->is_tcp ? info->connection_end_ns : info->downstream_tx_end_ns;
    if (give_elapsed(begin_ns, end_ns, NS_PER_MS, ret))
        return true;
    int64_t elapsed_ns = info->now_wall_ns - info->start_wall_ns;
    return give_number(elapsed_ns > 0 ? elapsed_ns / NS_PER_MS : 0, ret);
}

bool evaluate_request_duration(const struct operation *operation, const struct request_info *info,
                               char *scratch, struct value *ret)
{
    return give_elapsed(info->downstream_rx_begin_ns, info->downstream_rx_end_ns, NS_PER_MS, ret);
}

bool evaluate_request_tx_duration(const struct operation *operation,
                                  const struct request_info *info, char *scratch, struct value *ret)
{
    return give_elapsed(info->downstream_rx_begin_ns, info->upstream_tx_end_ns, NS_PER_MS, ret);
}

bool evaluate_response_duration(const struct operation *operation, const struct request_info *info,
                                char *scratch, struct value *ret)
{
    return give_elapsed(info->downstream_rx_begin_ns, info->upstream_rx_begin_ns, NS_PER_MS, ret);
}

bool evaluate_response_tx_duration(const struct operation *operation,
                                   const struct request_info *info, char *scratch,
                                   struct value *ret)
{
    return give_elapsed(info->upstream_rx_begin_ns, info->downstream_tx_end_ns, NS_PER_MS, ret);
}

// A pooled connection is ready at once: 0, while a request that got none has no value.
bool evaluate_pool_ready(const struct operation *operation, const struct request_info *info,
                         char *scratch, struct value *ret)
{
    if (info->upstream_pool_ready_ns == 0 && info->upstream_tx_begin_ns == 0)
        return false;
    return give_number(info->upstream_pool_ready_ns / NS_PER_MS, ret);
}

bool evaluate_common_duration(const struct operation *operation, const struct request_info *info,
                              char *scratch, struct value *ret)
{
    int64_t begin_ns, end_ns;
    if (operation->duration.begin == 0 || operation->duration.end == 0)
        return false;
    memcpy(&begin_ns, (const char *)info + operation->duration.begin, sizeof(begin_ns));
    memcpy(&end_ns, (const char *)info + operation->duration.end, sizeof(end_ns));
    return give_elapsed(begin_ns, end_ns, operation->duration.unit_ns, ret);
}

// ---- addresses ----

// "10.0.0.1:80" and "[::1]:80" without the port and the brackets that only it needs.
static struct str cut_port(struct str host)
{
    ptrdiff_t bracket = str_index(host, ']');
    if (bracket > 0 && host.ptr[0] == '[')
        return (struct str){host.ptr + 1, (size_t)bracket - 1};
    ptrdiff_t colon = str_index(host, ':');
    return colon < 0 ? host : str_upto(host, (size_t)colon);
}

bool evaluate_host_without_port(const struct operation *operation, const struct request_info *info,
                                char *scratch, struct value *ret)
{
    return give_text(cut_port(info->upstream_host), ret);
}

static bool give_hosts(const struct request_info *info, bool has_port, char *scratch,
                       struct value *ret)
{
    struct format_out out = {.data = scratch, .cap = SCRATCH_BYTES};
    for (unsigned i = 0; i < info->n_hosts_attempted; i++) {
        struct str host = info->hosts_attempted[i];
        if (!has_port)
            host = cut_port(host);
        if (i > 0)
            out_add_char(&out, ',');
        out_add(&out, host.ptr, host.len);
    }
    return give_text((struct str){scratch, out.len < out.cap ? out.len : out.cap}, ret);
}

bool evaluate_hosts_attempted(const struct operation *operation, const struct request_info *info,
                              char *scratch, struct value *ret)
{
    return give_hosts(info, true, scratch, ret);
}

bool evaluate_hosts_attempted_without_port(const struct operation *operation,
                                           const struct request_info *info, char *scratch,
                                           struct value *ret)
{
    return give_hosts(info, false, scratch, ret);
}

bool evaluate_attempts(const struct operation *operation, const struct request_info *info,
                       char *scratch, struct value *ret)
{
    return give_number(info->attempts, ret);
}

bool evaluate_masked_address(const struct operation *operation, const struct request_info *info,
                             char *scratch, struct value *ret)
{
    const struct address *address;
    memcpy(&address, (const char *)info + operation->offset, sizeof(address));
    if (!address || address->family == 0)
        return false;
    if (!operation->has_mask)
        return give_text((struct str){scratch, write_address(scratch, address, false)}, ret);
    struct address network = *address;
    unsigned bits = address->family == AF_INET ? 32 : 128;
    unsigned mask = operation->mask < bits ? operation->mask : bits;
    for (unsigned i = 0; i < bits / 8; i++) {
        unsigned kept = mask > i * 8 ? mask - i * 8 : 0;
        if (kept < 8)
            network.ip[i] &= (uint8_t)(0xff00 >> kept);
    }
    size_t len = write_address(scratch, &network, false);
    scratch[len++] = '/';
    len += write_u64(scratch + len, mask);
    return give_text((struct str){scratch, len}, ret);
}

enum { SNI_ONLY, SNI_FIRST, HOST_FIRST };
enum { HOST_ORIGINAL_OR_CURRENT, HOST_ORIGINAL, HOST_CURRENT };

bool evaluate_server_name(const struct operation *operation, const struct request_info *info,
                          char *scratch, struct value *ret)
{
    static const struct header_argument original = {.name = {"x-envoy-original-host", 21},
                                                    .id = HEADER_X_ENVOY};
    struct str sni = info->requested_server_name, host = STR_NONE;
    if (operation->choice == SNI_ONLY)
        return give_text(sni, ret);
    if (operation->choice2 != HOST_CURRENT)
        find_request_header(&original, info, &host);
    if (host.len == 0 && operation->choice2 != HOST_ORIGINAL)
        host = info->authority;
    bool is_host = host.len > 0 && (operation->choice == HOST_FIRST || sni.len == 0);
    return give_text(is_host ? host : sni, ret);
}

bool evaluate_coalesce(const struct operation *operation, const struct request_info *info,
                       char *scratch, struct value *ret)
{
    for (size_t i = 0; i < operation->coalesce.n_operations; i++) {
        const struct operation *one = &operation->coalesce.operations[i];
        if (operation_evaluate(one, info, scratch, ret) && (ret->is_number || ret->text.len > 0))
            return true;
    }
    return false;
}
