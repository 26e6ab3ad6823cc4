// SPDX-License-Identifier: Apache-2.0
// Short forms of frequent rows. Internal to model/.
#pragma once
#include "model/metadata.h"

#define AT(type, member) .offset = offsetof(type, member)
#define LIST_AT(type, member, count)                                                               \
    .offset = offsetof(type, member), .count_offset = offsetof(type, count)
#define IRRELEVANT(name, sentence)                                                                 \
    {                                                                                              \
        .key = (name), .type = FIELD_IRRELEVANT, .doc = (sentence)                                 \
    }
#define NOT_SERVED(name, words, sentence)                                                          \
    {                                                                                              \
        .key = (name), .type = FIELD_NOT_SERVED, .harmless = (words), .doc = (sentence)            \
    }
