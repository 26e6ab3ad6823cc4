// SPDX-License-Identifier: Apache-2.0
// Tables of words: why a head was refused, methods, reason phrases.
#include "base/check.h"
#include "http/h1.h"

static const struct error_row {
    uint16_t status;
    const char *detail, *sentence;
} error_rows[] = {
#define X(id, status, detail, sentence) [H1_ERROR_##id] = {status, detail, sentence},
    H1_ERRORS(X)
#undef X
};

static const struct error_row *error_row(enum h1_error error)
{
    CHECK((unsigned)error < H1_ERROR_COUNT);
    return &error_rows[error];
}

uint16_t h1_error_status(enum h1_error error)
{
    return error_row(error)->status;
}

const char *h1_error_detail(enum h1_error error)
{
    return error_row(error)->detail;
}

const char *h1_error_sentence(enum h1_error error)
{
    return error_row(error)->sentence;
}

bool http_method_is_idempotent(enum http_method method)
{
    switch (method) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_PUT:
    case METHOD_DELETE:
    case METHOD_OPTIONS:
    case METHOD_TRACE:
        return true;
    case METHOD_OTHER:
    case METHOD_POST:
    case METHOD_CONNECT:
    case METHOD_PATCH:
        return false;
    }
    return false;
}

// The IANA registry of status codes.
// clang-format off
static const char *const reasons_1[] = {"Continue", "Switching Protocols", "Processing", "Early Hints"};
static const char *const reasons_2[] = {
    "OK", "Created", "Accepted", "Non-Authoritative Information", "No Content", "Reset Content",
    "Partial Content", "Multi-Status", "Already Reported", [26] = "IM Used"};
static const char *const reasons_3[] = {
    "Multiple Choices", "Moved Permanently", "Found", "See Other", "Not Modified", "Use Proxy", "",
    "Temporary Redirect", "Permanent Redirect"};
static const char *const reasons_4[] = {
    "Bad Request", "Unauthorized", "Payment Required", "Forbidden", "Not Found",
    "Method Not Allowed", "Not Acceptable", "Proxy Authentication Required", "Request Timeout",
    "Conflict", "Gone", "Length Required", "Precondition Failed", "Content Too Large",
    "URI Too Long", "Unsupported Media Type", "Range Not Satisfiable", "Expectation Failed",
    "I'm a teapot",
    [21] = "Misdirected Request", "Unprocessable Content", "Locked", "Failed Dependency",
    "Too Early", "Upgrade Required", "", "Precondition Required", "Too Many Requests", "",
    "Request Header Fields Too Large", [51] = "Unavailable For Legal Reasons"};
static const char *const reasons_5[] = {
    "Internal Server Error", "Not Implemented", "Bad Gateway", "Service Unavailable",
    "Gateway Timeout", "HTTP Version Not Supported", "Variant Also Negotiates",
    "Insufficient Storage", "Loop Detected", "", "Not Extended", "Network Authentication Required"};

static const struct {
    const char *const *words;
    unsigned n;
} reasons[] = {
#define ROW(class) [class] = {reasons_##class, sizeof(reasons_##class) / sizeof(reasons_##class[0])}
    ROW(1), ROW(2), ROW(3), ROW(4), ROW(5)
#undef ROW
};
// clang-format on

const char *http_reason(unsigned status)
{
    if (status < 100 || status > 599 || status % 100 >= reasons[status / 100].n)
        return "";
    const char *word = reasons[status / 100].words[status % 100];
    return word ? word : "";
}
