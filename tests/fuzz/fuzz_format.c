// SPDX-License-Identifier: Apache-2.0
// A format text, as access-log line, header value and JSON: what parses renders to the same length
// into any room and never past it; what does not parse says where.
#include "fuzz.h"
#include "route/format.h"

static void render(const struct format *format, const struct request_info *info)
{
    static char large[1 << 16];
    size_t len = format_render(format, info, large, sizeof(large));
    size_t caps[] = {0, 1, len / 2, len};
    for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        size_t cap = caps[i] < sizeof(large) ? caps[i] : sizeof(large);
        char *small = malloc(cap + 1);
        CHECK(small);
        small[cap] = '!';
        CHECK(format_render(format, info, small, cap) == len);
        CHECK(memcmp(small, large, cap < len ? cap : len) == 0 && small[cap] == '!');
        free(small);
    }
}

static void render_all(const struct format *format)
{
    struct header items[] = {
        {STR("Host"), STR("a.example"), HEADER_HOST, false},
        {STR("X-A"), STR("quote \" back \\ tab \t high \xc3\xa4\xff"), HEADER_OTHER, false},
    };
    const struct header_list request = {.items = items, .n = 2, .cap = 2}, response = {0};
    const struct address peer = {AF_INET, 4711, {10, 0, 0, 1}};
    const struct request_info nothing_known = {.request = &request, .response = &response};
    const struct request_info much_known = {
        .start_wall_ns = 1767607200123456789,
        .now_wall_ns = 1767607201123456789,
        .downstream_rx_begin_ns = 1000000,
        .downstream_rx_end_ns = 2000000,
        .downstream_tx_end_ns = 9000000,
        .method = STR("GET"),
        .path = STR("/a?b=c&d"),
        .original_path = STR("/long/path"),
        .authority = STR("a.example"),
        .scheme = STR("http"),
        .protocol = STR("HTTP/1.1"),
        .request = &request,
        .response = &response,
        .status = 503,
        .flags = FLAG_BIT(UF) | FLAG_BIT(URX),
        .details = STR("with blanks"),
        .downstream_remote = &peer,
        .upstream_host = STR("10.0.0.2:80"),
        .cluster = STR("outbound|80||a"),
        .bytes_sent = UINT64_MAX,
    };
    render(format, &nothing_known);
    render(format, &much_known);
}

static void check(struct str text, bool is_json, unsigned flags)
{
    struct arena *arena = arena_create(0);
    struct format_error error = {.offset = SIZE_MAX};
    const struct format *format =
        is_json ? format_parse_json(arena, text, &error) : format_parse(arena, text, flags, &error);
    if (format) {
        render_all(format);
    } else {
        CHECK(error.offset <= text.len);
        CHECK(error.message[0] && memchr(error.message, '\0', sizeof(error.message)));
    }
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = exact_copy(data, size);
    struct str text = {copy, size};
    check(text, false, 0);
    check(text, false, FORMAT_HEADER_VALUE);
    check(text, true, 0);
    free(copy);
    return 0;
}
