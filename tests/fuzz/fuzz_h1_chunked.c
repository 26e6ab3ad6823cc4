// SPDX-License-Identifier: Apache-2.0
// A chunked body: the same bytes, trailers and end whole and in pieces of any size.
#include "base/buf.h"
#include "fuzz.h"
#include "http/h1.h"

struct outcome {
    enum h1_chunk_event end;
    enum h1_error error;
    size_t used;
    struct buf data, trailers;
};

static void note(struct outcome *out, struct str data, struct str name)
{
    if (out->end == H1_CHUNK_DATA) {
        CHECK(data.len > 0);
        buf_add_str(&out->data, data);
        return;
    }
    CHECK(header_name_is_valid(name) && header_value_is_valid(data));
    buf_add_str(&out->trailers, name);
    buf_add_char(&out->trailers, ':');
    buf_add_str(&out->trailers, data);
    buf_add_char(&out->trailers, '\n');
}

static void decode(struct outcome *out, const uint8_t *bytes, size_t size, size_t step)
{
    struct h1_chunked chunked;
    h1_chunked_init(&chunked);
    out->end = H1_CHUNK_MORE;
    for (size_t at = 0; at < size && out->end == H1_CHUNK_MORE; at += step) {
        size_t len = size - at < step ? size - at : step, piece_used = 0;
        char *piece = exact_copy(bytes + at, len);
        do {
            size_t used;
            struct str data = STR_NONE, name = STR_NONE;
            out->end = h1_chunked_next(&chunked, piece + piece_used, len - piece_used, &used, &data,
                                       &name);
            CHECK(used <= len - piece_used);
            piece_used += used;
            if (out->end == H1_CHUNK_DATA || out->end == H1_CHUNK_TRAILER)
                note(out, data, name);
        } while (out->end == H1_CHUNK_DATA || out->end == H1_CHUNK_TRAILER);
        CHECK(out->end != H1_CHUNK_MORE || piece_used == len);
        out->used += piece_used;
        free(piece);
    }
    out->error = chunked.error;
    CHECK((out->end == H1_CHUNK_ERROR) == (out->error != H1_ERROR_NONE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = {0}, pieces = {0};
    size_t step = 1 + take_byte(&data, &size) % 64;
    decode(&whole, data, size, size ? size : 1);
    decode(&pieces, data, size, step);
    CHECK(whole.end == pieces.end && whole.error == pieces.error);
    CHECK(whole.end != H1_CHUNK_END || whole.used == pieces.used);
    CHECK(str_equal(buf_str(&whole.data), buf_str(&pieces.data)));
    CHECK(str_equal(buf_str(&whole.trailers), buf_str(&pieces.trailers)));
    buf_fini(&whole.data);
    buf_fini(&pieces.data);
    buf_fini(&whole.trailers);
    buf_fini(&pieces.trailers);
    return 0;
}
