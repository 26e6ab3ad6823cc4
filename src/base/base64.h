// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, 4) of streams: bytes come in pieces. Any thread.
#pragma once
#include "base/str.h"

struct base64_decoder { // zeroed at first
    uint32_t bits;
    uint8_t n, n_padding; // characters of the current four
    bool has_failed;      // for good
};
// Decodes what `text` completes; padding may stand at the end of every four. `out` has room for
// 3 * (text.len + 3) / 4 bytes and may be `text` itself. Returns how many bytes came out.
size_t base64_decode(struct base64_decoder *decoder, struct str text, char *out);
bool base64_is_complete(const struct base64_decoder *decoder);
// Encodes with padding: 4 * ((data.len + 2) / 3) characters.
size_t base64_encode(struct str data, char *out);
