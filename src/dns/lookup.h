// SPDX-License-Identifier: Apache-2.0
// One name looked up once: in /etc/hosts, then at the name servers, A and AAAA at the same time, as
// it stands and below the search domains. c-ares does the protocol (which server, again after a
// loss, by TCP what does not fit a datagram); this file bounds what it may take. Control thread.
#pragma once
#include "base/address.h"
#include "base/loop.h"

enum {
    LOOKUPS_MAX = 128,       // under way at once; the rest waits in a queue
    LOOKUPS_URGENT_MAX = 32, // and so many more, of those that a request waits for
    LOOKUP_ADDRESSES_MAX = 1024,
    HOST_NAME_MAX_BYTES = 253, // RFC 1035, 2.3.4, without the dot at its end
};

enum {                   // how
    LOOKUP_URGENT = 1,   // a request waits for it
    LOOKUP_SEARCHES = 2, // below the search domains as well
};

enum family_status {
    FAMILY_PENDING, // no answer yet
    FAMILY_FOUND,
    FAMILY_NONE,   // there is no such name, or it has no address of this family
    FAMILY_FAILED, // no answer, or one that tells nothing (SERVFAIL, REFUSED ...)
};

struct family_answer {
    enum family_status status;
    struct address *addresses; // as the server ordered them; port 0
    uint32_t n;
    int64_t ttl_ms;
    const char *failure; // FAILED, NONE: in words; static
    bool has_timed_out;  // FAILED: nothing was heard at all
};

struct lookup_answer {
    const struct family_answer *families; // two: IPv4, IPv6
    bool is_final;                        // else the other family may follow
    bool is_of_file;                      // found in /etc/hosts; the TTL is 0
};

struct lookup_client;
struct lookup;

struct lookup_options {
    const char *servers;     // "ADDR:PORT,..."; NULL: the system's
    const char *resolv_conf; // for its search domains alone; NULL: /etc/resolv.conf
    uint32_t mark;           // SO_MARK of the sockets; 0: none
    uint32_t deadline_ms;    // of one lookup
    uint32_t grace_ms;       // that one family waits for the other (RFC 8305, 3)
};

// NULL: `servers` is malformed, or the system's configuration cannot be read.
struct lookup_client *lookup_client_create(struct loop *loop, const struct lookup_options *options);
void lookup_client_destroy(struct lookup_client *client); // drops what is under way; NULL is fine

// on_answer gets one answer that is final, and at most one before it. It may run inside this call.
// *owner is the lookup until the final answer, NULL then. `name`: as host_name_is_valid().
// `how`: LOOKUP_ bits.
void lookup_begin(struct lookup_client *client, struct str name, unsigned how,
                  struct lookup **owner,
                  void (*on_answer)(void *arg, const struct lookup_answer *answer), void *arg);
void lookup_hurry(struct lookup *lookup);    // a request waits for it now
void lookup_abandon(struct lookup **lookup); // no answer any more; NULL is fine
uint32_t lookup_client_n_running(const struct lookup_client *client);
uint32_t lookup_client_n_queued(const struct lookup_client *client);

// Labels of letters, digits, "-" and "_", none of them empty or over 63 bytes; no dot at the end;
// the last label is no number, since that is how broken addresses look.
bool host_name_is_valid(struct str name);
