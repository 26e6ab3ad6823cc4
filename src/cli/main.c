// SPDX-License-Identifier: Apache-2.0
#include "cli/subcommand.h"
#include <stdio.h>

static int start(const struct subcommand *subcommand, int argc, char *const *argv)
{
    struct options options;
    struct buf text = {0};
    int status = EXIT_CLEAN;
    switch (
        options_parse(&options, subcommand->options, subcommand->words_max, argc, argv, &text)) {
    case OPTIONS_OK:
        status = subcommand->run(&options);
        break;
    case OPTIONS_HELP:
        subcommand_print_help(subcommand, &text);
        status = output_write(&text) ? EXIT_CLEAN : EXIT_ERRORS;
        break;
    case OPTIONS_ERROR:
        fprintf(stderr, "sluicegate %s: %.*s\nTry `sluicegate help %s`.\n", subcommand->name,
                STR_ARG(buf_str(&text)), subcommand->name);
        status = EXIT_USAGE;
        break;
    }
    buf_fini(&text);
    options_fini(&options);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        struct buf usage = {0};
        subcommand_print_usage(&usage);
        fwrite(usage.data, 1, usage.len, stderr);
        buf_fini(&usage);
        return EXIT_USAGE;
    }
    // What every program answers to, beside the subcommands of the same names.
    struct str first = str_of(argv[1]);
    if (str_is(first, "--help") || str_is(first, "-h"))
        first = STR("help");
    else if (str_is(first, "--version") || str_is(first, "-V"))
        first = STR("version");
    const struct subcommand *subcommand = subcommand_find(first);
    if (!subcommand) {
        subcommand_report_unknown(argv[1]);
        return EXIT_USAGE;
    }
    return start(subcommand, argc - 2, argv + 2);
}
