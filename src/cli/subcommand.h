// SPDX-License-Identifier: Apache-2.0
// A subcommand is a row: usage, help and the reference page are printed from the table.
#pragma once
#include "cli/options.h"

enum { EXIT_CLEAN = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2 };

struct subcommand {
    const char *name;
    int (*run)(const struct options *options); // returns the exit status
    unsigned options;                          // FOR_ bit
    size_t words_max;                          // arguments that are no options
    const char *arguments;                     // as usage shows them
    const char *sentence;
    const char *details; // more for `help NAME`; may be empty
};

extern const struct subcommand subcommands[]; // ends with a row without a name

const struct subcommand *subcommand_find(struct str name); // NULL: unknown
void subcommand_print_usage(struct buf *out);              // all of them
void subcommand_print_help(const struct subcommand *subcommand, struct buf *out);
// "unknown subcommand ..." with the nearest one.
void subcommand_report_unknown(const char *name);

int run_subcommand(const struct options *options);
int check_subcommand(const struct options *options);
int dump_subcommand(const struct options *options);
int capture_subcommand(const struct options *options);
int docs_subcommand(const struct options *options);
int version_subcommand(const struct options *options);
int help_subcommand(const struct options *options);

// Writes all of it to standard output; false (and a message) when that fails.
bool output_write(const struct buf *text);
