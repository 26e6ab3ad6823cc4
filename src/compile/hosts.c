// SPDX-License-Identifier: Apache-2.0
#include "compile/hosts.h"

struct str host_lower(struct arena *arena, struct str host)
{
    size_t i = 0;
    while (i < host.len && ascii_lower(host.ptr[i]) == host.ptr[i])
        i++;
    if (i == host.len)
        return host;
    char *copy = arena_alloc(arena, host.len + 1);
    for (i = 0; i < host.len; i++)
        copy[i] = ascii_lower(host.ptr[i]);
    copy[host.len] = 0;
    return (struct str){copy, host.len};
}

struct str host_expand(struct arena *arena, struct str host, struct str ns, struct str domain)
{
    host = host_lower(arena, host);
    if (host.len == 0 || str_is(host, "*") || str_index(host, '.') >= 0 ||
        str_index(host, ':') >= 0) // an IPv6 address has colons
        return host;
    return arena_printf(arena, "%.*s.%.*s.svc.%.*s", STR_ARG(host), STR_ARG(ns), STR_ARG(domain));
}

bool host_is_wildcard(struct str host)
{
    return host.len > 0 && host.ptr[0] == '*';
}

bool host_is_subset(struct str a, struct str b)
{
    if (!host_is_wildcard(b))
        return str_equal(a, b);
    struct str suffix = str_from(b, 1);
    // "*.a.com" holds "x.a.com" and "*.x.a.com" but not ".a.com" without anything in front.
    struct str rest = host_is_wildcard(a) ? str_from(a, 1) : a;
    if (!str_has_suffix(rest, suffix))
        return false;
    return host_is_wildcard(a) || suffix.len == 0 || rest.len > suffix.len;
}

bool host_intersect(struct str a, struct str b, struct str *ret_narrower)
{
    if (host_is_subset(a, b)) {
        *ret_narrower = a;
        return true;
    }
    if (host_is_subset(b, a)) {
        *ret_narrower = b;
        return true;
    }
    return false;
}

int host_compare_specificity(struct str a, struct str b)
{
    bool a_wild = host_is_wildcard(a), b_wild = host_is_wildcard(b);
    if (a_wild != b_wild)
        return a_wild ? 1 : -1;
    if (a_wild && a.len != b.len)
        return a.len > b.len ? -1 : 1;
    return str_compare(a, b);
}

bool host_split_service(struct str fqdn, struct str domain, struct str *ret_name,
                        struct str *ret_ns)
{
    size_t tail = sizeof ".svc." - 1 + domain.len;
    if (fqdn.len <= tail || !str_has_suffix(fqdn, domain))
        return false;
    struct str head = str_upto(fqdn, fqdn.len - tail);
    if (memcmp(head.ptr + head.len, ".svc.", sizeof ".svc." - 1) != 0)
        return false;
    ptrdiff_t dot = str_index(head, '.');
    if (dot <= 0 || (size_t)dot + 1 == head.len)
        return false;
    struct str ns = str_from(head, (size_t)dot + 1);
    if (str_index(ns, '.') >= 0)
        return false;
    *ret_name = str_upto(head, (size_t)dot);
    *ret_ns = ns;
    return true;
}
