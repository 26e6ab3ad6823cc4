// SPDX-License-Identifier: Apache-2.0
// How an option's text becomes a value: one reader a type. A reader borrows the text, writes to
// the row's place in `struct options` and, when the text is wrong, says what is allowed.
#pragma once
#include "cli/options.h"

struct option_row {
    const char *name;     // without its dashes
    char letter;          // of the short form; 0: none
    const char *argument; // "ADDR"; NULL: the option is a switch
    const char *preset;   // the default, read by the same reader; NULL: none
    unsigned subcommands; // FOR_ bits
    bool (*read)(struct options *options, const struct option_row *row, struct str value,
                 struct buf *reterr);
    size_t offset;     // of the value in struct options, where the reader is generic
    uint64_t min, max; // of numbers, in the value's unit
    const char *sentence;
};

// clang-format off
#define OPTION_READERS(X) \
    X(text)      /* struct str, not empty */ \
    X(switch)    /* bool */ \
    X(count)     /* uint32_t, min..max */ \
    X(port)      /* uint16_t, 0..65535 */ \
    X(bytes)     /* uint64_t; 61440, 60Ki, 60KiB, 1Mi, 1Gi */ \
    X(bytes32)   /* uint32_t */ \
    X(duration)  /* uint32_t ms; 500ms, 45s, 1m30s, 1h */ \
    X(ip)        /* struct address without a port */ \
    X(path)      /* adds to paths */ \
    X(proxy_ports) /* adds to proxy_ports; 80,443 or all */ \
    X(port_map)  /* adds to port_maps; 80=8080[,...] */ \
    X(secret)    /* struct str; ns/name */ \
    X(tls_version) /* compile.tls_version_min; 1.2 */ \
    X(tls_ciphers) /* struct str; words that OpenSSL knows */ \
    X(tls_curves)  /* likewise */ \
    X(hsts)      /* compile.hsts; off: empty */ \
    X(labels)    /* adds to labels; key=value[,...] */ \
    X(admin)     /* has_admin, admin; ADDR:PORT, none or off */ \
    X(workers)   /* proxy.n_workers; 0: one a core */ \
    X(outbound_policy) /* compile.outbound_policy */ \
    X(capture_port)  /* uint16_t, 0: none */ \
    X(capture_mode)  /* compile.is_transparent */ \
    X(mark)      /* uint32_t, 0x539 or 1337; has_upstream_mark */ \
    X(log_level) \
    X(tls_records) \
    X(ids)            /* struct capture_numbers; as all lists of capture it replaces the one before */ \
    X(ports)          /* likewise; 80,443 or none */ \
    X(ports_or_all)   /* likewise, or * */ \
    X(subnets)        /* struct capture_subnets; 10.0.0.0/8,fd00::/8 or none */ \
    X(subnets_or_all) /* likewise, or * */ \
    X(fail)           /* capture.life; open or closed */
// clang-format on
#define X(name)                                                                                    \
    bool option_read_##name(struct options *options, const struct option_row *row,                 \
                            struct str value, struct buf *reterr);
OPTION_READERS(X)
#undef X
