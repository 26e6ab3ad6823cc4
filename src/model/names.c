// SPDX-License-Identifier: Apache-2.0
#include "model/names.h"
#include "base/address.h"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_label(struct str name)
{
    if (name.len == 0 || name.len > 63)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        bool is_edge = i == 0 || i == name.len - 1;
        if (!is_lower_alnum(name.ptr[i]) && (is_edge || name.ptr[i] != '-'))
            return false;
    }
    return true;
}

const char *dns_label_mistake(struct str name)
{
    if (name.len > 63)
        return "must be no more than 63 characters";
    return is_label(name) ? NULL
                          : "a lowercase RFC 1123 label must consist of lower case alphanumeric "
                            "characters or '-', and must start and end with an alphanumeric "
                            "character";
}

// Labels between dots; the subdomain as a whole is bounded, its parts are not (as in Kubernetes).
static bool is_subdomain(struct str name)
{
    if (name.len == 0 || name.len > 253)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        bool is_edge =
            i == 0 || i == name.len - 1 || name.ptr[i - 1] == '.' || name.ptr[i + 1] == '.';
        if (is_lower_alnum(name.ptr[i]) || (!is_edge && name.ptr[i] == '-'))
            continue;
        if (name.ptr[i] != '.' || is_edge)
            return false;
    }
    return true;
}

const char *dns_subdomain_mistake(struct str name)
{
    if (name.len > 253)
        return "must be no more than 253 characters";
    return is_subdomain(name)
               ? NULL
               : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                 "characters, '-' or '.', and must start and end with an alphanumeric character";
}

const char *wildcard_subdomain_mistake(struct str name)
{
    return str_has_prefix(name, STR("*.")) && is_subdomain(str_from(name, 2))
               ? NULL
               : "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
                 "subdomain";
}

// Istio takes upper case and a final dot, too, and an underscore nowhere.
const char *istio_host_mistake(struct str name)
{
    const char *mistake =
        "must be a domain name, a short name, or a wildcard such as *.example.com "
        "(the * as the whole first label)";
    if (str_is(name, "*"))
        return NULL;
    if (str_has_prefix(name, STR("*.")))
        name = str_from(name, 2);
    if (str_has_suffix(name, STR(".")))
        name.len--;
    if (name.len == 0 || name.len > 255)
        return mistake;
    struct str rest = name, label;
    while (str_next(&rest, '.', &label)) {
        if (label.len == 0 || label.len > 63)
            return mistake;
        for (size_t i = 0; i < label.len; i++) {
            bool is_edge = i == 0 || i == label.len - 1;
            if (!is_alnum(label.ptr[i]) && (is_edge || label.ptr[i] != '-'))
                return mistake;
        }
    }
    return NULL;
}

const char *port_name_mistake(struct str name)
{
    if (name.len == 0 || name.len > 15)
        return "must be no more than 15 characters";
    bool has_letter = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_edge = i == 0 || i == name.len - 1;
        if (!is_lower_alnum(c) && (is_edge || c != '-'))
            return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), and "
                   "must not begin or end with a hyphen";
        if (c == '-' && name.ptr[i - 1] == '-')
            return "must not contain consecutive hyphens";
        has_letter = has_letter || (c >= 'a' && c <= 'z');
    }
    return has_letter ? NULL : "must contain at least one letter (a-z)";
}

static bool is_name_part(struct str part)
{
    if (part.len == 0 || part.len > 63)
        return false;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];
        bool is_edge = i == 0 || i == part.len - 1;
        if (!is_alnum(c) && (is_edge || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return true;
}

const char *qualified_name_mistake(struct str name)
{
    ptrdiff_t slash = str_index(name, '/');
    if (slash >= 0) {
        if (!is_subdomain(str_upto(name, (size_t)slash)))
            return "the prefix before '/' must be a DNS subdomain";
        name = str_from(name, (size_t)slash + 1);
    }
    return is_name_part(name)
               ? NULL
               : "name part must consist of alphanumeric characters, '-', '_' or '.', and must "
                 "start and end with an alphanumeric character, no more than 63 of them";
}

const char *label_value_mistake(struct str value)
{
    return value.len == 0 || is_name_part(value)
               ? NULL
               : "a valid label must be an empty string or consist of alphanumeric characters, "
                 "'-', '_' or '.', and must start and end with an alphanumeric character, no more "
                 "than 63 of them";
}

const char *header_name_mistake(struct str name)
{
    bool is_token = name.len > 0;
    for (size_t i = 0; i < name.len && is_token; i++)
        is_token = name.ptr[i] && (is_alnum(name.ptr[i]) || strchr("!#$%&'*+-.^_`|~", name.ptr[i]));
    return is_token ? NULL : "is not a valid header name";
}

// Visible ASCII alone: whatever else ends a request line or a field, or is not read alike by all.
static bool is_visible(struct str text, char without)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c >= 0x7f || text.ptr[i] == without)
            return false;
    }
    return true;
}

static bool has_controls(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

const char *header_value_mistake(struct str value)
{
    return has_controls(value) ? "a header value has no control characters" : NULL;
}

const char *plain_text_mistake(struct str text)
{
    return has_controls(text) ? "must not have control characters" : NULL;
}

const char *location_mistake(struct str uri)
{
    return is_visible(uri, 0) ? NULL : "has characters that a URI cannot have";
}

const char *target_mistake(struct str path)
{
    return is_visible(path, '#') ? NULL : "has characters that a request's path cannot have";
}

// host[:port], as http/uri.h takes it from a client.
static bool is_port(struct str digits)
{
    unsigned port = 0;
    for (size_t i = 0; i < digits.len && i < 6; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        port = port * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    return digits.len > 0 && port > 0 && port <= UINT16_MAX;
}

static bool is_reg_name(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool is_escape =
            c == '%' && host.len - i >= 3 && is_hex(host.ptr[i + 1]) && is_hex(host.ptr[i + 2]);
        if (is_escape)
            i += 2;
        else if (!c || (!is_alnum(c) && !strchr("-._~!$&'()*+,;=", c)))
            return false;
    }
    return host.len > 0 && !str_is(host, ".");
}

const char *authority_mistake(struct str authority)
{
    struct str host = authority;
    bool is_literal = authority.len > 0 && authority.ptr[0] == '[';
    ptrdiff_t end = str_index(authority, is_literal ? ']' : ':');
    if (end >= 0)
        host = str_upto(authority, (size_t)end + is_literal);
    struct str port = str_from(authority, host.len);
    bool is_host = is_reg_name(host);
    if (is_literal) {
        struct str ip = end < 0 ? STR_NONE : (struct str){host.ptr + 1, host.len - 2};
        is_host = str_index(ip, ':') >= 0 && is_ipv4_or_ipv6(ip);
    }
    if (is_host && (port.len == 0 || (port.ptr[0] == ':' && is_port(str_from(port, 1)))))
        return NULL;
    return "is no host or host:port";
}

const char *path_mistake(struct str path)
{
    if (path.len > 250)
        return "must be no more than 250 characters";
    ptrdiff_t slash = str_index(path, '/');
    if (slash <= 0 || (size_t)slash + 1 == path.len || !is_subdomain(str_upto(path, (size_t)slash)))
        return "must be a domain-prefixed path (such as \"acme.io/foo\")";
    for (size_t i = (size_t)slash + 1; i < path.len; i++) {
        char c = path.ptr[i];
        if (!c || (!is_alnum(c) && !strchr("/-._~%!$&'()*+,;=:", c)))
            return "must be a domain-prefixed path (such as \"acme.io/foo\")";
    }
    return NULL;
}

bool is_ipv4_or_ipv6(struct str text)
{
    struct address address;
    return address_parse_ip(text, &address);
}
