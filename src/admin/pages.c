// SPDX-License-Identifier: Apache-2.0
#include "admin/pages.h"
#include "base/check.h"
#include "base/log.h"

static const char text_plain[] = "text/plain; charset=utf-8";

static bool add_index(struct page_state *state, struct buf *out)
{
    (void)state;
    for (const struct page *page = pages; page->path; page++)
        buf_printf(out, "%-14s %s\n", page->path, page->sentence);
    return false;
}

static bool add_ready(struct page_state *state, struct buf *out)
{
    struct admin_facts facts = {0};
    state->options->facts(state->options->arg, &facts);
    if (!facts.is_ready)
        state->status = 503;
    buf_add_text(out, facts.is_ready ? "ready\n" : facts.is_draining ? "draining\n" : "starting\n");
    return false;
}

static bool add_live(struct page_state *state, struct buf *out)
{
    (void)state;
    buf_add_text(out, "live\n");
    return false;
}

// As a list: what is really open, with the kernel's ports where the snapshot has 0.
static void add_open_listeners(const struct proxy *proxy, struct buf *out)
{
    struct buf text = {0};
    proxy_describe_listeners(proxy, &text);
    struct str rest = buf_str(&text), one;
    const char *separator = "";
    while (str_next(&rest, ',', &one)) {
        buf_printf(out, "%s\"%.*s\"", separator, STR_ARG(str_trim(one)));
        separator = ",";
    }
    buf_fini(&text);
}

static bool add_config_dump(struct page_state *state, struct buf *out)
{
    const struct snapshot *snapshot = proxy_snapshot(state->options->proxy);
    if (!snapshot) {
        state->status = 503;
        buf_add_text(out, "{}\n");
        return false;
    }
    buf_add_text(out, "{\"open_listeners\":[");
    add_open_listeners(state->options->proxy, out);
    buf_add_text(out, "]");
    size_t at = out->len;
    snapshot_dump_json(snapshot, out);
    CHECK(out->data[at] == '{');
    out->data[at] = ','; // the dump's fields follow in the same object
    return false;
}

static bool add_names(struct page_state *state, struct buf *out)
{
    const struct admin_options *options = state->options;
    return options->names && options->names(options->arg, &state->names_cursor, PIECE_BYTES, out);
}

static bool add_logging(struct page_state *state, struct buf *out)
{
    struct str rest = state->query, part;
    while (str_next(&rest, '&', &part)) {
        struct str wanted = str_from(part, STR("level=").len);
        char name[16] = {0};
        enum log_level level;
        if (!str_has_prefix(part, STR("level=")) || wanted.len >= sizeof name) {
            state->status = 400;
            break;
        }
        memcpy(name, wanted.ptr, wanted.len);
        if (!log_level_parse(name, &level)) {
            state->status = 400;
            break;
        }
        log_set_level(level);
        log_info("admin", "log level set to %s", log_level_name(level));
    }
    if (state->status == 400)
        buf_add_text(out, "usage: /logging?level=error|warning|info|debug\n");
    else
        buf_printf(out, "level: %s\n", log_level_name(log_get_level()));
    return false;
}

// clang-format off
const struct page pages[] = {
    {"/", text_plain, "This list.", add_index},
    {"/ready", text_plain, "200 when requests are served, 503 before that and while draining.", add_ready},
    {"/live", text_plain, "200 as long as the process runs.", add_live},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", "Prometheus metrics.", metrics_add_piece},
    {"/config_dump", "application/json", "The snapshot that is served, as JSON.", add_config_dump},
    {"/clusters", text_plain, "Clusters and endpoints with their counters.", clusters_add_piece},
    {"/names", text_plain, "Names outside the cluster: addresses, age, last failure.", add_names},
    {"/logging", text_plain, "The log level; ?level=debug sets it.", add_logging},
    {0},
};
// clang-format on

const struct page *page_find(struct str path)
{
    for (const struct page *page = pages; page->path; page++) {
        if (str_is(path, page->path))
            return page;
    }
    return NULL;
}

void page_state_fini(struct page_state *state)
{
    buf_fini(&state->cursor.last);
}

void cluster_cursor_reset(struct cluster_cursor *cursor)
{
    buf_fini(&cursor->last);
    *cursor = (struct cluster_cursor){0};
}

// Index of the first cluster behind `name`; the snapshot keeps them sorted by name.
static uint32_t index_behind(const struct snapshot *snapshot, struct str name)
{
    uint32_t low = 0, high = snapshot->n_clusters;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (str_compare(snapshot->clusters[middle]->name, name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct cluster *cluster_cursor_next(struct cluster_cursor *cursor,
                                          const struct snapshot *snapshot)
{
    if (!snapshot)
        return NULL;
    if (cursor->is_begun && cursor->generation != snapshot->generation)
        cursor->next = index_behind(snapshot, buf_str(&cursor->last));
    cursor->generation = snapshot->generation;
    cursor->is_begun = true;
    if (cursor->next >= snapshot->n_clusters)
        return NULL;
    const struct cluster *cluster = snapshot->clusters[cursor->next++];
    cursor->last.len = 0;
    buf_add_str(&cursor->last, cluster->name);
    return cluster;
}
