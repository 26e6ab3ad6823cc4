// SPDX-License-Identifier: Apache-2.0
// The command line's options: one table of rows from which parsing, defaults, help and
// docs/reference/options.md come. Control thread.
//
// Values land where they are used (`compile`, `proxy`). Texts are borrowed from argv or from the
// table; lists are owned by the struct.
#pragma once
#include "base/log.h"
#include "compile/compile.h"
#include "l4/capture.h"
#include "proxy/proxy.h"
#include "tls/tls.h"

// Which subcommands take an option.
enum {
    FOR_RUN = 1,
    FOR_CHECK = 2,
    FOR_DUMP = 4,
    FOR_DOCS = 8,
    FOR_OTHER = 16, // version, help: no option but --help
    FOR_CAPTURE = 32,
    FOR_MODEL = FOR_RUN | FOR_CHECK | FOR_DUMP,
    FOR_SIDECAR = 256, // beside the others: refused without --sidecar
    FOR_HELD = 512,    // likewise: by `run` without --capture
};

// By default, of connections that a sidecar opens itself. Istio's capture knows Envoy's so.
enum { SIDECAR_UPSTREAM_MARK = 0x539 };

struct options {
    const char **paths; // -f
    size_t n_paths;
    const char **words; // arguments that are no options (`help run`)
    size_t n_words;
    struct port_map *port_maps;
    size_t n_port_maps;
    uint16_t *proxy_ports;
    size_t n_proxy_ports;
    struct text_pair *labels;
    size_t n_labels;

    struct compile_options compile; // its lists point to the ones above
    struct proxy_options proxy;     // without access_log*, which run.c opens
    struct str access_log;          // path, "-" or "off"
    struct str access_log_format;   // text, "json", "{...}"; empty: Istio's default
    bool has_admin;
    struct address admin;
    uint32_t drain_timeout_ms;
    enum log_level log_level;
    enum tls_records tls_records;
    struct str dns_server; // empty: the system's
    bool has_upstream_mark;
    const char *first_of_sidecar; // the first option given that is for sidecars alone; NULL: none

    bool has_capture; // run --capture
    const char *first_of_held;
    struct capture_options capture;

    bool json;           // check, dump
    struct str docs_dir; // docs
    bool docs_check;     // docs
};

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_ERROR };

// Reads argv[0..argc) (behind the subcommand) for the subcommand with that FOR_ bit; at most
// `words_max` arguments may be no options. Sets every default first. ERROR: *reterr says why, in
// one line. options_fini is due in every case.
enum options_result options_parse(struct options *options, unsigned subcommand, size_t words_max,
                                  int argc, char *const *argv, struct buf *reterr);
void options_fini(struct options *options);

void options_print_help(unsigned subcommand, struct buf *out);      // as text, a row an option
void options_print_reference(unsigned subcommand, struct buf *out); // as a Markdown table
