// SPDX-License-Identifier: Apache-2.0
#include "cli/subcommand.h"
#include <errno.h>
#include <stdio.h>

// clang-format off
const struct subcommand subcommands[] = {
    {"run", run_subcommand, FOR_RUN, 0, "-f PATH... [OPTION]...",
     "Serves the manifests and follows their changes.",
     "Prints `sluicegate: ready: ...` to standard error when every listener is open.\n"
     "SIGTERM and SIGINT let requests end and then exit 0 (a second one ends at once);\n"
     "SIGHUP reads the manifests again; SIGUSR1 reopens the access log.\n"
     "Exit status: 0 after a signal, 1 when serving could not begin, 2 for wrong usage.\n"},
    {"check", check_subcommand, FOR_CHECK, 0, "-f PATH... [OPTION]...",
     "Reads, validates and compiles the manifests and prints every diagnostic.",
     "Diagnostics go to standard output, a summary to standard error.\n"
     "Exit status: 0 without errors (warnings and notes do not count), 1 with errors,\n"
     "2 for wrong usage.\n"},
    {"dump", dump_subcommand, FOR_DUMP, 0, "-f PATH... [OPTION]...",
     "Prints what the manifests compile to: listeners, hosts, routes, clusters.",
     "Exit status: 0, also when objects have errors (`sluicegate check` shows them);\n"
     "1 when a file could not be read; 2 for wrong usage.\n"},
    {"capture", capture_subcommand, FOR_CAPTURE, 1, "up|down|status|print [OPTION]...",
     "Sends the TCP connections of this network namespace to the sidecar in it.",
     "up sets the rules (nftables, the table `inet sluicegate_capture`, and for tproxy a\n"
     "routing rule), or replaces them, in one step; down removes them; status says what is\n"
     "in force; print shows the rules of up and changes nothing. All but print need the\n"
     "capability NET_ADMIN.\n"
     "Exit status: 0; 1 when it could not be done; 2 for wrong usage.\n"},
    {"docs", docs_subcommand, FOR_DOCS, 1, "[PAGE] [OPTION]...",
     "Prints a page of the reference; without PAGE, the names of the pages.", ""},
    {"version", version_subcommand, FOR_OTHER, 0, "", "Prints the version.", ""},
    {"help", help_subcommand, FOR_OTHER, 1, "[SUBCOMMAND]",
     "Prints this text, or all about one subcommand.", ""},
    {0},
};
// clang-format on

const struct subcommand *subcommand_find(struct str name)
{
    for (const struct subcommand *row = subcommands; row->name; row++) {
        if (str_is(name, row->name))
            return row;
    }
    return NULL;
}

void subcommand_report_unknown(const char *name)
{
    struct str names[16];
    size_t n = 0;
    for (const struct subcommand *row = subcommands; row->name; row++)
        names[n++] = str_of(row->name);
    struct str nearest = diag_nearest(str_of(name), names, n);
    fprintf(stderr, "sluicegate: unknown subcommand \"%s\"", name);
    if (nearest.len > 0)
        fprintf(stderr, "; did you mean %.*s?", STR_ARG(nearest));
    fputs("\nTry `sluicegate help`.\n", stderr);
}

void subcommand_print_usage(struct buf *out)
{
    buf_add_text(out, "Sluicegate, a gateway for Kubernetes ingress and egress\n\nUsage:\n");
    for (const struct subcommand *row = subcommands; row->name; row++)
        buf_printf(out, "  sluicegate %-8s%s\n", row->name, row->arguments);
    buf_add_text(out, "\nSubcommands:\n");
    for (const struct subcommand *row = subcommands; row->name; row++)
        buf_printf(out, "  %-9s%s\n", row->name, row->sentence);
    buf_add_text(out, "\n`sluicegate help SUBCOMMAND` lists its options.\n");
}

void subcommand_print_help(const struct subcommand *subcommand, struct buf *out)
{
    buf_printf(out, "Usage: sluicegate %s%s%s\n\n%s\n", subcommand->name,
               *subcommand->arguments ? " " : "", subcommand->arguments, subcommand->sentence);
    if (*subcommand->details)
        buf_printf(out, "\n%s", subcommand->details);
    struct buf options = {0};
    options_print_help(subcommand->options, &options);
    if (options.len > 0) {
        buf_add_text(out, "\nOptions (--option VALUE or --option=VALUE):\n");
        buf_add_str(out, buf_str(&options));
    }
    buf_fini(&options);
}

bool output_write(const struct buf *text)
{
    if (text->len > 0)
        fwrite(text->data, 1, text->len, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fprintf(stderr, "sluicegate: standard output: %s\n", strerror(errno));
    return false;
}

int version_subcommand(const struct options *options)
{
    (void)options;
    struct buf text = {0};
    buf_add_text(&text, "sluicegate " SLUICEGATE_VERSION "\n");
    bool is_written = output_write(&text);
    buf_fini(&text);
    return is_written ? EXIT_CLEAN : EXIT_ERRORS;
}

int help_subcommand(const struct options *options)
{
    struct buf text = {0};
    if (options->n_words > 0) {
        const struct subcommand *subcommand = subcommand_find(str_of(options->words[0]));
        if (!subcommand) {
            subcommand_report_unknown(options->words[0]);
            return EXIT_USAGE;
        }
        subcommand_print_help(subcommand, &text);
    } else {
        subcommand_print_usage(&text);
    }
    bool is_written = output_write(&text);
    buf_fini(&text);
    return is_written ? EXIT_CLEAN : EXIT_ERRORS;
}
