// SPDX-License-Identifier: Apache-2.0
// The text of a quoted YAML or JSON scalar, from what stands between its quotes. libfyaml has
// checked it, but 0.7.12 decodes some wrongly (two doubled single quotes in a row, an escaped
// backslash before an escaped line break), so doc.c decodes what holds an escape or a line break
// here. Any thread.
#pragma once
#include "base/arena.h"

struct str unquote(struct arena *arena, struct str raw, bool is_double);
