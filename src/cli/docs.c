// SPDX-License-Identifier: Apache-2.0
// `sluicegate docs`: the reference pages, printed from the tables that the program runs on.
#include "admin/admin.h"
#include "cli/subcommand.h"
#include "compile/ingress_annotations.h"
#include "model/decode.h"
#include "route/format.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

struct docs_page {
    struct str name; // of the file, without .md
    struct str title;
    void (*print)(const struct docs_page *page, struct buf *out);
    enum kind kind;
};

enum { KIND_NAME_MAX = 40, PATH_BYTES = 4096 };
enum { N_OTHER_PAGES = 5, N_PAGES = KIND_COUNT + N_OTHER_PAGES };

static void print_kind(const struct docs_page *page, struct buf *out)
{
    decode_print_reference(page->kind, out);
}

static void print_access_log(const struct docs_page *page, struct buf *out)
{
    (void)page;
    format_print_reference(out);
}

static void print_metrics(const struct docs_page *page, struct buf *out)
{
    (void)page;
    admin_print_metrics_reference(out);
}

static void print_annotations(const struct docs_page *page, struct buf *out)
{
    (void)page;
    ingress_annotations_print_reference(out);
}

static void print_diagnostics(const struct docs_page *page, struct buf *out)
{
    (void)page;
    static const char *const levels[] = {
        [DIAG_NOTE] = "note", [DIAG_WARNING] = "warning", [DIAG_ERROR] = "error"};
    buf_add_text(
        out, "# Diagnostics\n\n"
             "`sluicegate check` prints `file:line:column: level[code] object field: "
             "message; hint`. An error is a mistake: what it concerns is left out or keeps "
             "its last good version, everything else is served. A warning is probably a "
             "mistake; a note is for the record.\n\n| code | level | meaning |\n|---|---|---|\n");
    for (unsigned code = 0; code < DIAG_CODE_COUNT; code++)
        buf_printf(out, "| `%s` | %s | %s |\n", diag_word(code), levels[diag_code_level(code)],
                   diag_sentence(code));
}

static void print_options(const struct docs_page *page, struct buf *out)
{
    (void)page;
    buf_add_text(out, "# Command line\n");
    for (const struct subcommand *row = subcommands; row->name; row++) {
        buf_printf(out, "\n## sluicegate %s\n\n`sluicegate %s%s%s`\n\n%s\n", row->name, row->name,
                   *row->arguments ? " " : "", row->arguments, row->sentence);
        if (*row->details)
            buf_printf(out, "\n%s", row->details);
        struct buf options = {0};
        options_print_reference(row->options, &options);
        if (options.len > 0)
            buf_printf(out, "\n%.*s", STR_ARG(buf_str(&options)));
        buf_fini(&options);
    }
}

// "EndpointSlice" as "endpoint-slice".
static struct str file_name_of(enum kind kind, char out[KIND_NAME_MAX])
{
    size_t len = 0;
    for (const char *c = kind_word(kind); *c && len + 2 < KIND_NAME_MAX; c++) {
        if (*c >= 'A' && *c <= 'Z' && len > 0)
            out[len++] = '-';
        out[len++] = ascii_lower(*c);
    }
    return (struct str){out, len};
}

static void list_pages(struct docs_page pages[N_PAGES], char names[KIND_COUNT][KIND_NAME_MAX])
{
    pages[0] = (struct docs_page){STR("options"), STR("The command line"), print_options, 0};
    pages[1] = (struct docs_page){STR("diagnostics"), STR("Diagnostics and their codes"),
                                  print_diagnostics, 0};
    pages[2] = (struct docs_page){STR("access-log"), STR("Operators of the access log's format"),
                                  print_access_log, 0};
    pages[3] = (struct docs_page){STR("metrics"), STR("Metrics"), print_metrics, 0};
    pages[4] = (struct docs_page){STR("annotations"), STR("Annotations of an Ingress"),
                                  print_annotations, 0};
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        pages[N_OTHER_PAGES + kind] = (struct docs_page){file_name_of(kind, names[kind]),
                                                         str_of(kind_word(kind)), print_kind, kind};
}

static void print_index(const struct docs_page pages[N_PAGES], struct buf *out)
{
    buf_add_text(out, "# Reference\n\nPrinted by `sluicegate docs --dir docs/reference` from the "
                      "tables that the program runs on.\n\n");
    for (size_t i = 0; i < N_PAGES; i++)
        buf_printf(out, "- [%.*s](%.*s.md)\n", STR_ARG(pages[i].title), STR_ARG(pages[i].name));
}

static bool read_whole(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(out, piece, n);
    bool is_read = !ferror(file);
    fclose(file);
    return is_read;
}

static bool write_whole(const char *path, const struct buf *text)
{
    FILE *file = fopen(path, "we");
    bool is_written = file && fwrite(text->data, 1, text->len, file) == text->len;
    if (file && fclose(file) != 0)
        is_written = false;
    if (!is_written)
        fprintf(stderr, "sluicegate docs: %s: %s\n", path, strerror(errno));
    return is_written;
}

// Writes one page, or compares it with the file that is there.
static bool keep_page(const struct options *options, struct str name, const struct buf *text)
{
    char path[PATH_BYTES];
    int len =
        snprintf(path, sizeof path, "%.*s/%.*s.md", STR_ARG(options->docs_dir), STR_ARG(name));
    if (len < 0 || (size_t)len >= sizeof path) {
        fputs("sluicegate docs: --dir: the path is too long\n", stderr);
        return false;
    }
    if (!options->docs_check)
        return write_whole(path, text);
    struct buf present = {0};
    bool is_same = read_whole(path, &present) && str_equal(buf_str(&present), buf_str(text));
    buf_fini(&present);
    if (!is_same)
        fprintf(stderr, "sluicegate docs: %s is not current; run `sluicegate docs --dir %.*s`\n",
                path, STR_ARG(options->docs_dir));
    return is_same;
}

static int keep_all(const struct options *options, const struct docs_page pages[N_PAGES])
{
    char dir[PATH_BYTES];
    snprintf(dir, sizeof dir, "%.*s", STR_ARG(options->docs_dir));
    if (!options->docs_check && mkdir(dir, 0777) < 0 && errno != EEXIST) {
        fprintf(stderr, "sluicegate docs: %s: %s\n", dir, strerror(errno));
        return EXIT_ERRORS;
    }
    struct buf text = {0};
    print_index(pages, &text);
    bool is_good = keep_page(options, STR("README"), &text);
    for (size_t i = 0; i < N_PAGES; i++) {
        text.len = 0;
        pages[i].print(&pages[i], &text);
        is_good = keep_page(options, pages[i].name, &text) && is_good;
    }
    buf_fini(&text);
    return is_good ? EXIT_CLEAN : EXIT_ERRORS;
}

static int print_page(const struct docs_page pages[N_PAGES], const char *name)
{
    struct str names[N_PAGES];
    for (size_t i = 0; i < N_PAGES; i++) {
        names[i] = pages[i].name;
        if (!str_is(pages[i].name, name))
            continue;
        struct buf text = {0};
        pages[i].print(&pages[i], &text);
        bool is_written = output_write(&text);
        buf_fini(&text);
        return is_written ? EXIT_CLEAN : EXIT_ERRORS;
    }
    fputs("sluicegate docs: no page \"", stderr);
    fputs(name, stderr);
    fputs("\"", stderr);
    struct str nearest = diag_nearest(str_of(name), names, N_PAGES);
    if (nearest.len > 0)
        fprintf(stderr, "; did you mean %.*s?", STR_ARG(nearest));
    fputs("\n`sluicegate docs` lists the pages.\n", stderr);
    return EXIT_USAGE;
}

int docs_subcommand(const struct options *options)
{
    struct docs_page pages[N_PAGES];
    char names[KIND_COUNT][KIND_NAME_MAX];
    list_pages(pages, names);
    if (options->docs_dir.len > 0 && options->n_words > 0) {
        fputs("sluicegate docs: --dir writes every page; leave PAGE out\n", stderr);
        return EXIT_USAGE;
    }
    if (options->docs_check && options->docs_dir.len == 0) {
        fputs("sluicegate docs: --check needs --dir\n", stderr);
        return EXIT_USAGE;
    }
    if (options->docs_dir.len > 0)
        return keep_all(options, pages);
    if (options->n_words > 0)
        return print_page(pages, options->words[0]);
    struct buf text = {0};
    for (size_t i = 0; i < N_PAGES; i++)
        buf_printf(&text, "%-18.*s %.*s\n", STR_ARG(pages[i].name), STR_ARG(pages[i].title));
    bool is_written = output_write(&text);
    buf_fini(&text);
    return is_written ? EXIT_CLEAN : EXIT_ERRORS;
}
