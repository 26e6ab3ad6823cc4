// SPDX-License-Identifier: Apache-2.0
// Checks that several kinds share: one finished value each.
#include "model/field.h"
#include "model/names.h"

static void report_mistake(struct reader *reader, const struct text *text, const char *mistake)
{
    if (!mistake)
        return;
    struct str value = text_str(*text);
    bool is_block =
        str_has_suffix(value, STR("\n")) && str_index(value, '\n') + 1 == (ptrdiff_t)value.len;
    report(reader, DIAG_FIELD_VALUE, text->line, text->col,
           is_block ? "it ends in a line feed; a block that is written with |- or >- does not"
                    : NULL,
           "\"%.*s\": %s", STR_ARG(str_upto(value, 300)), mistake);
}

void check_dns_label(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    report_mistake(reader, text, dns_label_mistake(text_str(*text)));
}

void check_dns_subdomain(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    report_mistake(reader, text, dns_subdomain_mistake(text_str(*text)));
}

void check_port_name(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    report_mistake(reader, text, port_name_mistake(text_str(*text)));
}

void check_ip(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (!is_ipv4_or_ipv6(text_str(*text)))
        report_mistake(reader, text,
                       "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

void check_port_ref(struct reader *reader, const struct field *field, const void *value)
{
    const struct port_ref *port = value;
    if (port->is_set && port->name.ptr)
        report_mistake(reader, &port->name, port_name_mistake(text_str(port->name)));
}

void check_header_name(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (header_name_mistake(text_str(*text)))
        report(reader, DIAG_FIELD_VALUE, text->line, text->col, NULL,
               "header name %.*s is not a valid header name", STR_ARG(text_str(*text)));
}

void check_header_value(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    report_mistake(reader, text, header_value_mistake(text_str(*text)));
}

void check_plain_text(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    report_mistake(reader, text, plain_text_mistake(text_str(*text)));
}

void check_authority(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    if (text->len)
        report_mistake(reader, text, authority_mistake(text_str(*text)));
}

void check_target(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    report_mistake(reader, text, target_mistake(text_str(*text)));
}

static void check_absolute(struct reader *reader, const struct text *text, const char *mistake)
{
    if (!mistake && text->len && text->ptr[0] != '/')
        mistake = "a path begins with /";
    report_mistake(reader, text, mistake);
}

void check_new_path(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    check_absolute(reader, text, target_mistake(text_str(*text)));
}

void check_location_path(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    check_absolute(reader, text, location_mistake(text_str(*text)));
}

static void check_key(struct reader *reader, const struct text *key)
{
    report_mistake(reader, key, qualified_name_mistake(text_str(*key)));
}

void check_labels(struct reader *reader, const struct field *field, const void *value)
{
    const struct text_map *map = value;
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < map->n; i++) {
        step.key = text_str(map->items[i].key);
        check_key(reader, &map->items[i].key);
        report_mistake(reader, &map->items[i].value,
                       label_value_mistake(text_str(map->items[i].value)));
    }
    reader->step = step.parent;
}

void check_annotations(struct reader *reader, const struct field *field, const void *value)
{
    const struct text_map *map = value;
    struct step step = {.parent = reader->step, .kind = STEP_ENTRY};
    reader->step = &step;
    for (uint32_t i = 0; i < map->n; i++) {
        // The API server compares the lower-cased key: an upper-case prefix passes here.
        char lower[320];
        struct str key = text_str(map->items[i].key);
        step.key = key;
        if (key.len > sizeof(lower)) {
            report_mistake(reader, &map->items[i].key, "is too long for a key");
            continue;
        }
        for (size_t at = 0; at < key.len; at++)
            lower[at] = ascii_lower(key.ptr[at]);
        report_mistake(reader, &map->items[i].key,
                       qualified_name_mistake((struct str){lower, key.len}));
    }
    reader->step = step.parent;
}

void check_export_to(struct reader *reader, const struct field *field, const void *value)
{
    const struct text *text = value;
    struct str ns = text_str(*text);
    if (!str_is(ns, "*") && !str_is(ns, ".") && !str_is(ns, "~"))
        report_mistake(reader, text, dns_label_mistake(ns));
}

void check_export_list(struct reader *reader, const struct texts *list)
{
    bool is_public = false;
    for (uint32_t i = 0; i < list->n; i++)
        is_public |= str_is(text_str(list->items[i]), "*");
    if (is_public && list->n > 1)
        report_at(reader, "exportTo", DIAG_FIELD_CONFLICT, list->items[0].line, list->items[0].col,
                  NULL,
                  "cannot have both public (*) and non-public exportTo values for a resource");
}
