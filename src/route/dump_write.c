// SPDX-License-Identifier: Apache-2.0
#include "route/dump.h"

void begin_value(struct dump *dump, const char *key)
{
    if (!dump->is_json) {
        for (unsigned i = 0; i < dump->depth; i++)
            buf_add_text(dump->out, "  ");
        buf_add_text(dump->out, key);
        return;
    }
    if (dump->needs_comma)
        buf_add_char(dump->out, ',');
    dump->needs_comma = true;
    if (key[0]) {
        buf_add_json(dump->out, str_of(key));
        buf_add_char(dump->out, ':');
    }
}

void end_value(struct dump *dump)
{
    if (!dump->is_json)
        buf_add_char(dump->out, '\n');
}

// A list of items exists in JSON only; in text the items follow each other.
void begin_list(struct dump *dump, const char *key)
{
    if (!dump->is_json)
        return;
    begin_value(dump, key);
    buf_add_char(dump->out, '[');
    dump->needs_comma = false;
}

void end_list(struct dump *dump)
{
    if (!dump->is_json)
        return;
    buf_add_char(dump->out, ']');
    dump->needs_comma = true;
}

// An object. Text: a line `word label`, with what is in it indented below.
void begin_item(struct dump *dump, const char *word, const char *label_key, struct str label)
{
    begin_value(dump, dump->is_json ? "" : word);
    if (dump->is_json) {
        buf_add_char(dump->out, '{');
        dump->needs_comma = false;
        begin_value(dump, label_key);
        buf_add_json(dump->out, label);
    } else {
        buf_add_char(dump->out, ' ');
        buf_add_str(dump->out, label);
        end_value(dump);
    }
    dump->depth++;
}

void end_item(struct dump *dump)
{
    dump->depth--;
    if (dump->is_json)
        buf_add_char(dump->out, '}');
    dump->needs_comma = true;
}

// A word of ours, or a name that needs no quotes to be read.
void put_word(struct dump *dump, const char *key, struct str word)
{
    begin_value(dump, key);
    if (dump->is_json) {
        buf_add_json(dump->out, word);
    } else {
        buf_add_char(dump->out, ' ');
        buf_add_str(dump->out, word);
    }
    end_value(dump);
}

// What a user wrote: in quotes, whatever is in it.
void put_text(struct dump *dump, const char *key, struct str text)
{
    begin_value(dump, key);
    if (!dump->is_json)
        buf_add_char(dump->out, ' ');
    buf_add_json(dump->out, text);
    end_value(dump);
}

void put_word_if(struct dump *dump, const char *key, struct str word)
{
    if (word.len)
        put_word(dump, key, word);
}

void put_text_if(struct dump *dump, const char *key, struct str text)
{
    if (text.len)
        put_text(dump, key, text);
}

void put_number(struct dump *dump, const char *key, uint64_t number)
{
    begin_value(dump, key);
    buf_printf(dump->out, dump->is_json ? "%llu" : " %llu", (unsigned long long)number);
    end_value(dump);
}

void put_number_if(struct dump *dump, const char *key, uint64_t number)
{
    if (number)
        put_number(dump, key, number);
}

void put_flag_if(struct dump *dump, const char *key, bool flag)
{
    if (!flag)
        return;
    begin_value(dump, key);
    if (dump->is_json)
        buf_add_text(dump->out, "true");
    end_value(dump);
}
