// SPDX-License-Identifier: Apache-2.0
#include "route/rewrite.h"

// Writes what fits and counts the rest, as snprintf does.
struct writer {
    char *out;
    size_t cap, len;
};

static void put(struct writer *writer, struct str text)
{
    if (writer->len < writer->cap) {
        size_t room = writer->cap - writer->len;
        if (text.len)
            memcpy(writer->out + writer->len, text.ptr, text.len < room ? text.len : room);
    }
    writer->len += text.len;
}

static void put_number(struct writer *writer, uint16_t number)
{
    char digits[5];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(writer, (struct str){digits + at, sizeof(digits) - at});
}

// The text with `sign` and a digit replaced by that group; a doubled sign is one, if it may be.
static void put_template(struct writer *writer, struct str text, char sign, bool doubles,
                         const struct str *groups, unsigned n_groups)
{
    size_t from = 0;
    for (size_t at = 0; at + 1 < text.len; at++) {
        char next = text.ptr[at + 1];
        if (text.ptr[at] != sign || !((next >= '0' && next <= '9') || (doubles && next == sign)))
            continue;
        put(writer, (struct str){text.ptr + from, at - from});
        if (next == sign)
            put(writer, (struct str){&sign, 1});
        else if ((unsigned)(next - '0') < n_groups)
            put(writer, groups[next - '0']);
        at++;
        from = at + 1;
    }
    put(writer, str_from(text, from));
}

// Every occurrence, as RE2's GlobalReplace: an empty match right behind the last one is passed
// over.
static void put_replaced(struct writer *writer, const struct rewrite *rewrite, struct str path)
{
    struct str groups[REGEX_GROUPS_MAX];
    size_t at = 0, last_end = SIZE_MAX;
    while (at <= path.len) {
        unsigned n = regex_search(rewrite->regex, path, at, groups, REGEX_GROUPS_MAX);
        if (n == 0 || !groups[0].ptr)
            break;
        size_t start = (size_t)(groups[0].ptr - path.ptr);
        if (start < at)
            break; // a look-behind with \K: nothing sensible to go on with
        put(writer, (struct str){path.ptr + at, start - at});
        if (groups[0].len == 0 && start == last_end) {
            put(writer, str_upto(str_from(path, start), 1));
            at = start + 1;
            continue;
        }
        put_template(writer, rewrite->text, '\\', true, groups, n);
        at = last_end = start + groups[0].len;
    }
    put(writer, str_from(path, at));
}

static void put_captures(struct writer *writer, const struct route *route, struct str path)
{
    const struct rewrite *rewrite = route->rewrite;
    const struct regex *regex = route->path_regex ? route->path_regex : rewrite->regex;
    struct str groups[REGEX_GROUPS_MAX];
    unsigned n = regex ? regex_search(regex, path, 0, groups, REGEX_GROUPS_MAX) : 0;
    put_template(writer, rewrite->text, '$', false, groups, n);
}

static bool is_prefix_kind(uint8_t kind)
{
    return kind == PATH_PREFIX_STRING || kind == PATH_PREFIX_SEGMENT;
}

// The matched prefix replaced by `text`; without one the whole path is.
static void put_prefixed(struct writer *writer, const struct route *route, struct str text,
                         struct str path)
{
    struct str rest = is_prefix_kind(route->path_kind) ? str_from(path, route->path.len) : STR_NONE;
    // A segment's border is one slash, whichever side it stands on.
    if (route->path_kind == PATH_PREFIX_SEGMENT && str_has_suffix(text, STR("/")) &&
        str_has_prefix(rest, STR("/")))
        rest = str_from(rest, 1);
    put(writer, text);
    put(writer, rest);
}

// Adds the request's query, behind one that the new path brought.
static void put_query(struct writer *writer, struct str path, struct str query)
{
    put(writer, str_index(path, '?') >= 0 ? STR("&") : STR("?"));
    put(writer, query);
}

static void put_new_path(struct writer *writer, const struct route *route, struct str path)
{
    const struct rewrite *rewrite = route->rewrite;
    switch (rewrite->kind) {
    case REWRITE_NONE:
        put(writer, path);
        return;
    case REWRITE_PREFIX:
        put_prefixed(writer, route, rewrite->text, path);
        return;
    case REWRITE_FULL:
        put(writer, rewrite->text);
        return;
    case REWRITE_REGEX:
        put_replaced(writer, rewrite, path);
        return;
    case REWRITE_CAPTURE:
        put_captures(writer, route, path);
        return;
    }
}

size_t rewrite_path(const struct route *route, struct str path, struct str query, bool has_query,
                    char *out, size_t cap)
{
    const struct rewrite *rewrite = route->rewrite;
    struct writer writer = {out, cap, 0};
    put_new_path(&writer, route, path);
    // A request line needs a path (RFC 9112, 3.2.1), whatever the pattern left of it.
    if (writer.len == 0 || (cap > 0 && out[0] != '/')) {
        writer.len = 0;
        put(&writer, STR("/"));
        put_new_path(&writer, route, path);
    }
    struct str written = {out, writer.len < cap ? writer.len : cap};
    if (!rewrite->drops_query) {
        if (has_query)
            put_query(&writer, written, query);
        return writer.len;
    }
    // "/foo?" says that the query goes; the '?' has done its work.
    if (writer.len <= cap && str_has_suffix(written, STR("?")))
        writer.len--;
    return writer.len;
}

// ---- redirects ----

// Cuts "host:port", also behind a bracketed address.
static struct str cut_port(struct str authority, struct str *ret_port)
{
    *ret_port = STR_NONE;
    for (size_t at = authority.len; at > 0; at--) {
        char c = authority.ptr[at - 1];
        if (c == ']')
            break;
        if (c == ':') {
            *ret_port = str_from(authority, at);
            return str_upto(authority, at - 1);
        }
    }
    return authority;
}

static uint16_t default_port(struct str scheme)
{
    return str_equal_nocase(scheme, STR("https"))  ? 443
           : str_equal_nocase(scheme, STR("http")) ? 80
                                                   : 0;
}

static bool is_default_port(struct str scheme, struct str port)
{
    uint64_t number;
    return str_to_u64(port, UINT16_MAX, &number) && number != 0 && number == default_port(scheme);
}

static void put_authority(struct writer *writer, const struct redirect *redirect,
                          struct str authority, struct str old_scheme, struct str new_scheme,
                          uint16_t listener_port)
{
    struct str port;
    struct str host = cut_port(redirect->host.len ? redirect->host : authority, &port);
    uint16_t new_port = redirect->port_from_listener ? listener_port : redirect->port;
    put(writer, host);
    if (new_port) {
        if (new_port != default_port(new_scheme)) {
            put(writer, STR(":"));
            put_number(writer, new_port);
        }
        return;
    }
    // The port of the old scheme makes no sense with another one.
    bool drops = redirect->host.len == 0 && !str_equal_nocase(old_scheme, new_scheme) &&
                 is_default_port(old_scheme, port);
    if (port.len && !drops) {
        put(writer, STR(":"));
        put(writer, port);
    }
}

static void put_location_path(struct writer *writer, const struct route *route,
                              const struct request_view *request, bool has_query)
{
    const struct redirect *redirect = route->redirect;
    bool keeps_query = has_query && !redirect->drops_query;
    if (redirect->has_path) {
        if (redirect->path.len && redirect->path.ptr[0] != '/' && redirect->path.ptr[0] != '?')
            put(writer, STR("/"));
        put(writer, redirect->path);
        keeps_query = keeps_query && str_index(redirect->path, '?') < 0;
    } else if (redirect->has_prefix_rewrite) {
        put_prefixed(writer, route, redirect->prefix_rewrite, request->path);
    } else {
        struct str path = request->path;
        if (redirect->cut_trailing_slash && !keeps_query && str_has_suffix(path, STR("/")))
            path.len--;
        put(writer, path);
    }
    if (keeps_query) {
        put(writer, STR("?"));
        put(writer, request->query);
    }
}

size_t redirect_location(const struct route *route, const struct request_view *request,
                         bool has_query, struct str scheme, uint16_t listener_port, char *out,
                         size_t cap)
{
    const struct redirect *redirect = route->redirect;
    struct writer writer = {out, cap, 0};
    // HTTP/1.0 without Host: a relative reference is all that can be said (RFC 9110, 10.2.2).
    if (redirect->host.len || request->authority.len) {
        struct str new_scheme = redirect->scheme.len ? redirect->scheme : scheme;
        put(&writer, new_scheme);
        put(&writer, STR("://"));
        put_authority(&writer, redirect, request->authority, scheme, new_scheme, listener_port);
    }
    put_location_path(&writer, route, request, has_query);
    return writer.len;
}
