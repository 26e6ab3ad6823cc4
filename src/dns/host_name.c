// SPDX-License-Identifier: Apache-2.0
#include "dns/lookup.h"

enum { LABEL_MAX_BYTES = 63 };

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool is_valid_label(struct str label, bool *ret_is_number)
{
    *ret_is_number = true;
    if (label.len == 0 || label.len > LABEL_MAX_BYTES || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!is_label_char(label.ptr[i]))
            return false;
        *ret_is_number &= label.ptr[i] >= '0' && label.ptr[i] <= '9';
    }
    return true;
}

bool host_name_is_valid(struct str name)
{
    if (name.len == 0 || name.len > HOST_NAME_MAX_BYTES || name.ptr[name.len - 1] == '.')
        return false;
    struct str rest = name, label;
    bool is_number = true;
    while (str_next(&rest, '.', &label)) {
        if (!is_valid_label(label, &is_number))
            return false;
    }
    return !is_number;
}
