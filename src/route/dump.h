// SPDX-License-Identifier: Apache-2.0
// What the files of the dump share: writing of facts, as indented text or as JSON. Control thread;
// for dump*.c only.
#pragma once
#include "route/snapshot.h"

struct dump {
    struct buf *out;
    bool is_json;
    bool needs_comma; // JSON: something stands in front on this level
    unsigned depth;   // text: of indentation
};

// The key of a value; whoever calls writes the value and ends it.
void begin_value(struct dump *dump, const char *key);
void end_value(struct dump *dump);
// A list of items exists in JSON only; in text the items follow each other.
void begin_list(struct dump *dump, const char *key);
void end_list(struct dump *dump);
// An object. Text: a line `word label`, with what is in it indented below.
void begin_item(struct dump *dump, const char *word, const char *label_key, struct str label);
void end_item(struct dump *dump);

void put_word(struct dump *dump, const char *key, struct str word); // ours, or a name
void put_text(struct dump *dump, const char *key, struct str text); // a user's, in quotes
void put_number(struct dump *dump, const char *key, uint64_t number);
// Only what is not empty, 0 or false.
void put_word_if(struct dump *dump, const char *key, struct str word);
void put_text_if(struct dump *dump, const char *key, struct str text);
void put_number_if(struct dump *dump, const char *key, uint64_t number);
void put_flag_if(struct dump *dump, const char *key, bool flag);

// `key`: of the list in JSON; `word`: of an item in text.
void dump_subnets(struct dump *dump, const char *key, const char *word,
                  const struct subnet *subnets, uint32_t n);
void dump_targets(struct dump *dump, const struct target *targets, uint16_t n);
void dump_hosts(struct dump *dump, const struct http_hosts *hosts);
void dump_listener(struct dump *dump, const struct listener *listener);
