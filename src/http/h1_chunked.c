// SPDX-License-Identifier: Apache-2.0
// The chunked coding (RFC 9112, 7.1). Size lines are read byte by byte and need no memory; trailer
// lines are parsed whole, and only one that comes in pieces is copied.
#include "http/chars.h"
#include "http/h1.h"

enum state {
    SIZE_START, // a chunk begins: the first digit
    SIZE,       // more digits, an extension or CR
    BLANKS,     // blanks behind the size, which only an extension may follow
    EXTENSION,  // up to CR
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, // at the start of a line or within one
    LAST_LF, // of the empty line that ends all
    COMPLETE,
    FAILED,
};

enum { SIZE_DIGITS_MAX = 16, TRAILERS_MAX = 32, TRAILER_BYTES_MAX = 8192 };

void h1_chunked_init(struct h1_chunked *chunked)
{
    chunked->state = SIZE_START;
    chunked->n_trailers = 0;
    chunked->line_len = 0;
    chunked->trailer_bytes = 0;
    chunked->left = 0;
    chunked->error = H1_ERROR_NONE;
}

static enum h1_chunk_event fail(struct h1_chunked *chunked, enum h1_error error)
{
    chunked->state = FAILED;
    chunked->error = error;
    return H1_CHUNK_ERROR;
}

// Fields that mean something to a hop or to whoever reads the head, and so must not come late
// (RFC 9110, 6.5.1): framing, routing, identity, authentication, how to read the content.
static bool is_forbidden_trailer(struct str name)
{
    static const char *const names[] = {
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "forwarded",
        "max-forwards",
        "range",
        "set-cookie",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "x-real-ip",
    };
    enum header_id id = header_id_of(name);
    if (id != HEADER_OTHER)
        return id != HEADER_DATE && id != HEADER_SERVER && id != HEADER_VIA;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_equal_nocase(name, str_of(names[i])))
            return true;
    return false;
}

// `line` is whole, with its LF.
static enum h1_chunk_event parse_trailer(struct h1_chunked *chunked, struct str line,
                                         struct str *ret_value, struct str *ret_name)
{
    chunked->trailer_bytes += (uint32_t)line.len;
    if (line.ptr[line.len - 2] != '\r' || chunked->trailer_bytes > TRAILER_BYTES_MAX ||
        chunked->n_trailers == TRAILERS_MAX)
        return fail(chunked, H1_ERROR_TRAILER);
    chunked->n_trailers++;
    line.len -= 2;
    ptrdiff_t colon = str_index(line, ':');
    if (colon < 0)
        return fail(chunked, H1_ERROR_TRAILER);
    struct str name = str_upto(line, (size_t)colon);
    struct str value = str_from(line, (size_t)colon + 1);
    if (!header_name_is_valid(name) || !header_value_is_valid(value) || is_forbidden_trailer(name))
        return fail(chunked, H1_ERROR_TRAILER);
    *ret_name = name;
    *ret_value = str_trim(value);
    return H1_CHUNK_TRAILER;
}

// At the start of a trailer line or within one; p < end. *p moves behind what was taken.
static enum h1_chunk_event read_trailer(struct h1_chunked *chunked, const char **p, const char *end,
                                        struct str *ret_value, struct str *ret_name)
{
    if (chunked->line_len == 0 && **p == '\r') {
        chunked->state = LAST_LF;
        ++*p;
        return H1_CHUNK_MORE;
    }
    const char *start = *p;
    const char *lf = memchr(start, '\n', (size_t)(end - start));
    const char *stop = lf ? lf + 1 : end;
    size_t n = (size_t)(stop - start);
    if (chunked->line_len + n > sizeof(chunked->line) || (lf && chunked->line_len + n < 2))
        return fail(chunked, H1_ERROR_TRAILER);
    *p = stop;
    if (lf && chunked->line_len == 0)
        return parse_trailer(chunked, (struct str){start, n}, ret_value, ret_name);
    memcpy(chunked->line + chunked->line_len, start, n);
    chunked->line_len = (uint16_t)(chunked->line_len + n);
    if (!lf)
        return H1_CHUNK_MORE;
    struct str line = {chunked->line, chunked->line_len};
    chunked->line_len = 0;
    return parse_trailer(chunked, line, ret_value, ret_name);
}

// The size so far is in `left`, its digits are counted in `line_len`.
static enum h1_error add_digit(struct h1_chunked *chunked, char c)
{
    if (!char_is(c, CHAR_HEX) || chunked->line_len == SIZE_DIGITS_MAX)
        return H1_ERROR_CHUNK_SIZE;
    chunked->line_len++;
    chunked->left = chunked->left << 4 | hex_value(c);
    // Sums of sizes are kept in 64 bits: one chunk gets half of them.
    if (chunked->left > INT64_MAX)
        return H1_ERROR_CHUNK_SIZE;
    chunked->state = SIZE;
    return H1_ERROR_NONE;
}

// One byte of a size line, or of the line end behind the data.
static enum h1_error read_framing_byte(struct h1_chunked *chunked, char c)
{
    switch ((enum state)chunked->state) {
    case SIZE_START:
        return add_digit(chunked, c);
    case SIZE:
        if (c == ' ' || c == '\t' || c == ';') {
            chunked->state = c == ';' ? EXTENSION : BLANKS;
            chunked->line_len = 1;
        } else if (c == '\r') {
            chunked->state = SIZE_LF;
        } else {
            return add_digit(chunked, c);
        }
        return H1_ERROR_NONE;
    case BLANKS:
        if (c != ' ' && c != '\t' && c != ';')
            return H1_ERROR_CHUNK_SIZE;
        if (c == ';')
            chunked->state = EXTENSION;
        return ++chunked->line_len > H1_CHUNK_LINE_MAX ? H1_ERROR_CHUNK_EXTENSION : H1_ERROR_NONE;
    case EXTENSION:
        if (c == '\r')
            chunked->state = SIZE_LF;
        else if (!char_is(c, CHAR_VALUE) || ++chunked->line_len > H1_CHUNK_LINE_MAX)
            return H1_ERROR_CHUNK_EXTENSION;
        return H1_ERROR_NONE;
    case SIZE_LF:
        chunked->line_len = 0;
        chunked->state = chunked->left > 0 ? DATA : TRAILER;
        return c == '\n' ? H1_ERROR_NONE : H1_ERROR_CHUNK_SIZE;
    case DATA_CR:
        chunked->state = DATA_LF;
        return c == '\r' ? H1_ERROR_NONE : H1_ERROR_CHUNK_END;
    case DATA_LF:
        chunked->state = SIZE_START;
        return c == '\n' ? H1_ERROR_NONE : H1_ERROR_CHUNK_END;
    case LAST_LF:
        chunked->state = COMPLETE;
        return c == '\n' ? H1_ERROR_NONE : H1_ERROR_TRAILER;
    case DATA:
    case TRAILER:
    case COMPLETE:
    case FAILED:
        break;
    }
    return chunked->error;
}

enum h1_chunk_event h1_chunked_next(struct h1_chunked *chunked, const char *data, size_t len,
                                    size_t *ret_used, struct str *ret_data, struct str *ret_name)
{
    const char *p = data, *end = data + len;
    enum h1_chunk_event event = H1_CHUNK_MORE;
    while (event == H1_CHUNK_MORE) {
        if (chunked->state == COMPLETE) {
            event = H1_CHUNK_END;
        } else if (chunked->state == FAILED) {
            event = H1_CHUNK_ERROR;
        } else if (p == end) {
            break;
        } else if (chunked->state == DATA) {
            size_t n = (size_t)(end - p);
            if (n >= chunked->left) {
                n = (size_t)chunked->left;
                chunked->state = DATA_CR;
            }
            chunked->left -= n;
            *ret_data = (struct str){p, n};
            p += n;
            event = H1_CHUNK_DATA;
        } else if (chunked->state == TRAILER) {
            event = read_trailer(chunked, &p, end, ret_data, ret_name);
        } else {
            enum h1_error error = read_framing_byte(chunked, *p++);
            if (error)
                event = fail(chunked, error);
        }
    }
    *ret_used = (size_t)(p - data);
    return event;
}
