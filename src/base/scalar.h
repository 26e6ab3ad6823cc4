// SPDX-License-Identifier: Apache-2.0
// The text of quoted and block scalars of YAML and JSON. libfyaml has checked them, but 0.7.12
// decodes some wrongly: two doubled single quotes in a row, an escaped backslash before an escaped
// line break, a folded scalar with an empty line before an indented one. Any thread.
#pragma once
#include "base/arena.h"

// `raw` stands between the quotes.
struct str scalar_unquote(struct arena *arena, struct str raw, bool is_double);

struct block_header {
    bool is_folded; // ">", not "|"
    char chomping;  // '-', '+'; 0: clip
    size_t indent;  // of the text, as told by an indicator; 0: that of the first line with text
};
// `raw` is what follows the header's line, with all empty lines at its end.
struct str scalar_unfold(struct arena *arena, struct str raw, struct block_header header);
